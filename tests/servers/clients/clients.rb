# redis-rb, and what stands on it: redis-store, redis-rack's sessions, the caches of Rails.
require 'minitest/autorun'
require 'socket'
require 'redis'
require 'redis-store'
require 'redis-rack'
require 'rack/mock'
require 'active_support'
require 'active_support/cache/redis_cache_store'
require 'active_support/cache/redis_store'

Thread.new { sleep 300; abort 'it hangs' }
SOCK = ENV.fetch('STORE_SOCK')
Redis.raise_deprecations = false
Redis.silence_deprecations = true

class Case < Minitest::Test
  def setup
    @opened = []
    @redis = connect
    @redis.flushall
  end

  def teardown
    @opened.each(&:close)
  end

  def connect(path = SOCK, **options)
    Redis.new(path: path, **options).tap { |redis| @opened << redis }
  end

  # Whether that is left of a time on a machine that has something else to do.
  def assert_left(left, of)
    assert_includes (0.8 * of)..of, left
  end

  # Waits until the block gives something true, and gives it.
  def until_true(what)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 15
    while Process.clock_gettime(Process::CLOCK_MONOTONIC) < deadline
      found = yield
      return found if found

      sleep 0.005
    end
    flunk "in vain: #{what}"
  end

  # A path that leads to the store, and what cuts its connections.
  def cuttable
    path = "#{SOCK}.#{Process.pid}.#{object_id}"
    listener = UNIXServer.new(path)
    streams = []
    Thread.new do
      loop do
        client, store = listener.accept, UNIXSocket.new(SOCK)
        streams.push(client, store)
        [[client, store], [store, client]].each do |source, sink|
          Thread.new do
            loop { sink.write(source.readpartial(65_536)) }
          rescue IOError, SystemCallError
            nil
          end
        end
      end
    rescue IOError
      nil
    end
    @opened << listener
    cut = lambda do
      streams.each { |stream| stream.shutdown rescue nil }
      streams.clear
    end
    [path, cut]
  end
end

class RedisRb < Case
  def test_strings_counters_and_hashes
    r = @redis
    assert_equal 'OK', r.set('k', 'v', ex: 100)
    assert_equal false, r.set('k', 'w', nx: true)
    assert_equal ['v', nil], [r.get('k'), r.get('none')]
    assert_left r.pttl('k'), 100_000
    assert_equal 'v', r.set('k', "\0\r\n\xff".b, get: true, keepttl: true)
    assert_equal "\0\r\n\xff".b, r.get('k').b
    assert_left r.ttl('k'), 100
    assert_equal [true, -1, -2], [r.persist('k'), r.ttl('k'), r.ttl('none')]
    r.mset('a', 1, 'b', 2)
    assert_equal ['1', nil, '2'], r.mget('a', 'none', 'b')
    assert_equal({ 'a' => '1', 'none' => nil }, r.mapped_mget('a', 'none'))
    assert_equal [42, 41, 41.5], [r.incrby('a', 41), r.decr('a'), r.incrbyfloat('a', 0.5)]
    assert_equal [2, true], [r.exists('a', 'b', 'none'), r.exists?('a')]
    assert_equal [1, 1], [r.del('a', 'none'), r.unlink('b')]
    error = assert_raises(Redis::CommandError) { r.incr('k') }
    assert_equal 'ERR value is not an integer or out of range', error.message
    r.mapped_hmset('h', { 'a' => 1, 'b' => 2 })
    assert_equal({ 'a' => '1', 'b' => '2' }, r.hgetall('h'))
    assert_equal [5, ['1', nil], true], [r.hincrby('h', 'b', 3), r.hmget('h', 'a', 'no'), r.hexists('h', 'a')]
    assert_raises(Redis::CommandError) { r.get('h') }
    one = connect(db: 1)
    assert_equal [0, 2], [one.dbsize, r.dbsize]
    assert_equal 'standalone', r.info['redis_mode']
    assert_equal 'PONG', r.ping
    assert_equal({ 'appendonly' => 'no' }, r.config(:get, 'appendonly'))
  end

  def test_transactions_conflicts_and_pipelines
    other = connect
    assert_equal ['OK', 2, nil], @redis.multi { |m| m.set('n', 1); m.incr('n'); m.get('none') }
    aborted = @redis.watch('n') do
      value = @redis.get('n').to_i
      other.set('n', 10)
      @redis.multi { |m| m.set('n', value + 1) }
    end
    assert_nil aborted
    done = @redis.watch('n') { @redis.multi { |m| m.incr('n') } }
    assert_equal [11], done
    future = nil
    @redis.pipelined { |p| future = p.get('n'); 300.times { |n| p.set("k#{n}", n) } }
    assert_equal '11', future.value
    assert_raises(Redis::CommandError) { @redis.pipelined { |p| p.incr('n'); p.hget('n', 'f') } }
    assert_equal '12', @redis.get('n')
  end

  def test_walks
    names = Array.new(150) { |n| "user:#{n}" }
    @redis.pipelined { |p| names.each { |name| p.set(name, 1); p.set("other:#{name}", 1) } }
    assert_equal names.sort, @redis.scan_each(match: 'user:*', count: 9).to_a.uniq.sort
    assert_empty @redis.scan_each(type: 'hash').to_a
    assert_equal 10, @redis.keys('user:1?').size
  end

  def test_messages
    got = Queue.new
    listener = Thread.new do
      connect.subscribe('news', 'end') do |on|
        on.subscribe { |channel, count| got << [:subscribe, channel, count] }
        on.message { |channel, text| got << [channel, text]; @opened.last.unsubscribe if channel == 'end' }
        on.unsubscribe { |channel, count| got << [:unsubscribe, channel, count] }
      end
    end
    assert_equal [[:subscribe, 'news', 1], [:subscribe, 'end', 2]], [got.pop, got.pop]
    20.times { |n| assert_equal 1, @redis.publish('news', n) }
    @redis.publish('end', 'now')
    listener.join
    assert_equal Array.new(20) { |n| ['news', n.to_s] } << %w[end now], Array.new(21) { got.pop }
    assert_equal [:unsubscribe, 0], got.size.times.map { got.pop }.last.values_at(0, 2)
    patterns = Thread.new do
      connect.psubscribe_with_timeout(15, 'w*') do |on|
        on.pmessage { |pattern, channel, text| got << [pattern, channel, text]; @opened.last.punsubscribe }
      end
    end
    until_true('it is heard') { @redis.publish('weather', 'fine').positive? }
    patterns.join
    assert_equal ['w*', 'weather', 'fine'], got.pop
  end

  def test_scripts_that_are_known
    release = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"
    @redis.set('lock', 'mine')
    sha = @redis.script(:load, release)
    assert_equal [0, 1], [@redis.evalsha(sha, ['lock'], ['theirs']), @redis.evalsha(sha, ['lock'], ['mine'])]
    @redis.script(:flush)
    error = assert_raises(Redis::CommandError) { @redis.evalsha(sha, ['lock'], ['mine']) }
    assert_match(/^NOSCRIPT/, error.message)
  end

  def test_a_lost_connection_comes_back
    path, cut = cuttable
    client = connect(path, db: 1)
    client.set('k', 'v')
    cut.call
    assert_equal 'v', client.get('k')
    heard = Queue.new
    again = Thread.new do
      connect(path, reconnect_attempts: 0).subscribe('news') { |on| on.message { |_, text| heard << text } }
    rescue Redis::BaseConnectionError => error
      heard << error
    end
    until_true('it is subscribed') { @redis.publish('news', 'before').positive? }
    assert_equal 'before', heard.pop
    cut.call
    assert_kind_of Redis::BaseConnectionError, heard.pop
    again.join
  end
end

class Sessions < Case
  def setup
    super
    sessions = { redis_server: { path: SOCK, namespace: 'rack:session', db: 1 }, expire_after: 3600 }
    @site = Rack::MockRequest.new(Rack::Session::Redis.new(method(:answer), sessions))
    @inside = connect(db: 1)
  end

  def answer(env)
    session = env['rack.session']
    case env['PATH_INFO']
    when %r{^/login/(.*)} then env['rack.session.options'][:renew] = true
                               session['user'] = $1
    when '/logout' then session.destroy
    else session['count'] = session.fetch('count', 0) + 1
    end
    [200, {}, ["#{session['user']} #{session['count']}"]]
  end

  # What the site says to whoever has this cookie, and the new one.
  def visit(path, cookie = nil)
    answer = @site.get(path, cookie ? { 'HTTP_COOKIE' => cookie } : {})
    [answer.body, answer['Set-Cookie']&.split(';')&.first || cookie]
  end

  def test_log_in_count_and_log_out
    said, cookie = visit('/')
    assert_equal ' 1', said
    before, = @inside.keys
    assert_match(/^rack:session:2::/, before)
    said, ann = visit('/login/ann', cookie)
    assert_equal 'ann 1', said
    refute_equal cookie, ann
    name, = @inside.keys
    refute_equal before, name
    assert_left @inside.ttl(name), 3600
    _, bob = visit('/login/bob')
    assert_equal 'ann 2', visit('/', ann).first
    assert_equal 'bob 1', visit('/', bob).first
    assert_equal ' 1', visit('/', cookie).first, 'the old one is nobody'
    visit('/logout', ann)
    refute @inside.exists?(name)
    assert_equal ' 1', visit('/', ann).first
    assert_equal 'bob 2', visit('/', bob).first
  end
end

class Caches < Case
  def caches
    [
      ActiveSupport::Cache::RedisCacheStore.new(redis: connect(db: 1), namespace: 'app'),
      ActiveSupport::Cache::RedisStore.new(path: SOCK, db: 1, namespace: 'app')
    ]
  end

  def test_values_and_their_times
    inside = connect(db: 1)
    caches.each do |cache|
      inside.flushdb
      cache.write('k', { 'a' => [1, nil] }, expires_in: 100)
      assert_equal({ 'a' => [1, nil] }, cache.read('k'))
      assert_includes 80..400, inside.ttl('app:k')
      assert_equal({ 'a' => [1, nil] }, cache.fetch('k') { flunk 'it is there' })
      assert_equal 'made', cache.fetch('m', expires_in: 100) { 'made' }
      assert_equal 'made', cache.read('m')
      cache.write('once', 1, unless_exist: true)
      cache.write('once', 2, unless_exist: true)
      assert_equal 1, cache.read('once')
      assert cache.exist?('m')
      assert cache.delete('m')
      refute cache.exist?('m')
      assert_equal 5, cache.increment('n', 5)
      assert_equal 3, cache.decrement('n', 2)
      cache.write_multi({ 'a' => 1, 'b' => 2 })
      assert_equal({ 'a' => 1, 'b' => 2 }, cache.read_multi('a', 'none', 'b'))
      100.times { |n| cache.write("user:#{n}", n) }
      cache.delete_matched('user:*')
      assert_nil cache.read('user:7')
      assert_equal 1, cache.read('a')
      inside.set('other', 'kept')
      cache.clear
      assert_nil cache.read('a')
    end
  end

  def test_a_lost_connection_is_nothing_but_a_miss
    path, cut = cuttable
    cache = ActiveSupport::Cache::RedisCacheStore.new(redis: connect(path, reconnect_attempts: 0))
    cache.write('k', 'v')
    assert_equal 'v', cache.read('k')
    cut.call
    assert_nil cache.read('k')
    assert_equal 'v', cache.read('k')
  end

  def test_what_redis_store_keeps
    store = Redis::Store.new(path: SOCK, namespace: 'app')
    store.set('k', { a: 1 }, expire_after: 100)
    assert_equal({ a: 1 }, store.get('k'))
    assert_left @redis.ttl('app:k'), 100
    assert_equal Marshal.dump({ a: 1 }), @redis.get('app:k')
    store.setnx('k', 2)
    assert_equal({ a: 1 }, store.get('k'))
    assert_equal [{ a: 1 }, nil], store.mget('k', 'none')
    store.close
  end
end
