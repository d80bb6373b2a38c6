<?php
// The program of fcgx.c for php-fpm, with the paths that are measured there.
header('Content-Type: text/plain');
switch ($_SERVER['PATH_INFO'] ?? '') {
    case '/bytes':
        $left = (int) $_SERVER['QUERY_STRING'];
        header("Content-Length: $left");
        echo 'start:';
        $filler = str_repeat('x', min($left, 1024 * 1024));
        for ($left -= 6; $left > 0; $left -= strlen($filler)) {
            echo $left < strlen($filler) ? substr($filler, 0, $left) : $filler;
        }
        break;
    case '/body':
        $total = 0;
        $body = fopen('php://input', 'r');
        while (($length = strlen(fread($body, 65536))) > 0) {
            $total += $length;
        }
        echo "$total bytes\n";
        break;
    default:
        echo "hello {$_SERVER['REQUEST_URI']}\n";
}
