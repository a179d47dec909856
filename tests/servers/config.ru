# For Puma: says which worker answers whom.
run lambda { |env|
  body = "#{ENV['MEMSTORE_WORKER']} #{env['REMOTE_ADDR']}"
  [200, { 'content-length' => body.bytesize.to_s }, [body]]
}
