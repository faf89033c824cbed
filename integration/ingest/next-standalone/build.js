const fs = require("fs");
const ms = require("ms");
const page = fs.readFileSync("pages/index.html", "utf8").replace("@DAY@", String(ms("1 day")));
const write = (path, text) => {
  fs.mkdirSync(require("path").dirname(path), { recursive: true });
  fs.writeFileSync(path, text);
};
write(".next/standalone/server.js", fs.readFileSync("server.js"));
write(".next/standalone/package.json", fs.readFileSync("package.json"));
write(".next/standalone/.next/server/index.html", page);
write(".next/static/chunks/main.js", "// " + process.env.NEXT_TELEMETRY_DISABLED + "\n");
