// The routes of tests/support/web_guests.py, by a handler of `fetch` events.
addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

const encoder = new TextEncoder();
const pause = (milliseconds) => new Promise((go) => setTimeout(go, milliseconds));

async function answer(request) {
  const { pathname } = new URL(request.url);
  switch (`${request.method} ${pathname}`) {
    case "GET /":
    case "HEAD /":
      return text("hello\n");
    case "POST /echo":
      return new Response(request.body, { headers: { "content-type": "application/octet-stream" } });
    case "POST /sum":
      return text(await sum(await request.arrayBuffer()));
    case "GET /headers":
      return text([...request.headers].map(([name, value]) => `${name}: ${value}\n`).join(""));
    case "GET /stream":
      return new Response(words(), { headers: { "content-type": "text/plain" } });
    case "GET /fail":
      throw new Error("told to fail");
    case "GET /slow":
      for (;;);
  }
  return text("nothing is there\n", 404);
}

function text(body, status = 200) {
  return new Response(body, { status, headers: { "content-type": "text/plain" } });
}

async function sum(body) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${body.byteLength} ${hex}\n`;
}

function words() {
  return new ReadableStream({
    async start(controller) {
      for (const word of ["first", "second", "last"]) {
        controller.enqueue(encoder.encode(`${word}\n`));
        await pause(word === "last" ? 0 : 400);
      }
      controller.close();
    },
  });
}
