<?php
// What the programs here share: where the store is, and how to lose it.
declare(strict_types=1);
// Debian's libraries are older than its PHP.
error_reporting(E_ALL & ~E_DEPRECATED);
set_error_handler(function (int $kind, string $what, string $file, int $line) {
    if (error_reporting() & $kind) {
        throw new ErrorException($what, 0, $kind, $file, $line);
    }
    return true;
});
pcntl_alarm(300);
// What is printed would be the head of a page, after which no session can begin.
ob_start();

define('SOCK', getenv('STORE_SOCK'));

/** A client that looks into the store. */
function store(): Redis
{
    static $store = null;
    if ($store === null) {
        $store = new Redis();
        $store->connect(SOCK);
    }
    return $store;
}

function same(mixed $found, mixed $expected): void
{
    if ($found !== $expected) {
        throw new Exception(var_export($found, true) . ' is not ' . var_export($expected, true));
    }
}

/** Whether that is left of a time on a machine that has something else to do. */
function is_left(float $left, float $of): void
{
    within($left, 0.8 * $of, $of);
}

function within(float $value, float $least, float $most): void
{
    if ($value < $least || $value > $most) {
        throw new Exception("$value is not from $least to $most");
    }
}

/** The message of what it throws. */
function refused(callable $body): string
{
    try {
        $body();
    } catch (Exception $refusal) {
        return $refusal->getMessage();
    }
    throw new Exception('it was not refused');
}

/** Waits until the condition gives something true, and gives it. */
function until(string $what, callable $condition): mixed
{
    for ($deadline = microtime(true) + 15; microtime(true) < $deadline; usleep(5000)) {
        if ($found = $condition()) {
            return $found;
        }
    }
    throw new Exception("in vain: $what");
}

/** Runs the body in so many processes at once. */
function together(int $count, callable $body): void
{
    for ($n = 0; $n < $count; $n++) {
        if (pcntl_fork() === 0) {
            try {
                $body($n);
                posix_kill(getmypid(), SIGTERM);
            } catch (Throwable $failure) {
                fwrite(STDERR, "$failure\n");
                posix_kill(getmypid(), SIGKILL);
            }
        }
    }
    for ($n = 0; $n < $count; $n++) {
        pcntl_wait($status);
        same(pcntl_wtermsig($status), SIGTERM);
    }
}

/** Serves a path that leads to the store; gives it, and what cuts its connections. */
function cuttable(): array
{
    $path = SOCK . '.' . getmypid();
    $listener = stream_socket_server("unix://$path");
    $proxy = pcntl_fork();
    if ($proxy === 0) {
        $pairs = [];
        pcntl_signal(SIGUSR1, function () use (&$pairs) {
            foreach ($pairs as [$stream]) {
                stream_socket_shutdown($stream, STREAM_SHUT_RDWR);
            }
            $pairs = [];
        }, false);
        pcntl_async_signals(true);
        while (posix_getppid() !== 1) {
            $ready = [$listener, ...array_column($pairs, 0)];
            $none = null;
            if (!@stream_select($ready, $none, $none, 0, 50000)) {
                continue;
            }
            foreach ($ready as $stream) {
                if ($stream === $listener) {
                    $client = stream_socket_accept($listener);
                    $store = stream_socket_client('unix://' . SOCK);
                    $pairs[(int) $client] = [$client, $store];
                    $pairs[(int) $store] = [$store, $client];
                } elseif ($pair = $pairs[(int) $stream] ?? null) {
                    $part = fread($stream, 65536);
                    if ($part === '' || $part === false) {
                        stream_socket_shutdown($pair[1], STREAM_SHUT_RDWR);
                        unset($pairs[(int) $stream]);
                    } else {
                        fwrite($pair[1], $part);
                    }
                }
            }
        }
        posix_kill(getmypid(), SIGKILL);
    }
    fclose($listener);
    register_shutdown_function(function () use ($proxy, $path) {
        posix_kill($proxy, SIGKILL);
        unlink($path);
    });
    return [$path, fn () => posix_kill($proxy, SIGUSR1)];
}

/** Proves something in an empty store. */
function proves(string $what, callable $body): void
{
    static $count = 0;
    store()->flushAll();
    try {
        $body();
    } catch (Throwable $failure) {
        fwrite(STDERR, "$what: $failure\n");
        exit(1);
    }
    file_put_contents('php://stdout', sprintf("proved %d: %s\n", ++$count, $what));
}
