<?php // For php -S: says which worker answers whom.
$body = getenv('MEMSTORE_WORKER') . ' ' . $_SERVER['REMOTE_ADDR'];
header('Content-Length: ' . strlen($body));
echo $body;
