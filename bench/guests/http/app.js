addEventListener("fetch", (event) => event.respondWith(answer(event.request)));

async function answer(request) {
  if (request.method === "POST") {
    return new Response(request.body);
  }
  return new Response("hello\n", { headers: { "content-type": "text/plain" } });
}
