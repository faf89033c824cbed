import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { render } from "./page.js";
import { version } from "./version.js";

const host = process.env.HOST ?? "127.0.0.1";
const port = Number(process.env.PORT ?? "3000");
const template = await readFile(new URL("../public/index.html", import.meta.url), "utf8");

const server = createServer((request, response) => {
  switch (request.url) {
    case "/":
      return answer(200, "text/html", render(template, { version, node: process.version }));
    case "/version":
      return answer(200, "text/plain", `${version}\n`);
    case "/healthz":
      return answer(200, "application/json", '{"status":"ok"}\n');
    default:
      return answer(404, "text/plain", "not found\n");
  }

  function answer(status: number, type: string, body: string): void {
    response.writeHead(status, { "Content-Type": `${type}; charset=utf-8` }).end(body);
  }
});

server.listen(port, host, () => console.log(`listening on http://${host}:${port}`));

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.on(signal, () => {
    server.close();
    server.closeAllConnections();
  });
}
