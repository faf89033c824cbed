const fs = require("fs");
const ms = require("ms");
fs.mkdirSync("dist", { recursive: true });
const source = fs.readFileSync("src/server.js", "utf8");
fs.writeFileSync("dist/server.js", source.replace("@MODE@", process.env.MODE).replace("@TTL@", ms("2 days")));
