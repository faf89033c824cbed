const fs = require("fs");
const page = fs.readFileSync(__dirname + "/.next/server/index.html");
require("http")
  .createServer((request, response) => response.end(page))
  .listen(process.env.PORT, process.env.HOSTNAME);
