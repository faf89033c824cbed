const http = require("http");
http.createServer((_, answer) => answer.end("mode @MODE@ ttl @TTL@\n")).listen(3000, "127.0.0.1");
