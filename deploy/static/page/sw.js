// Keeps the page for a visit without a network, and gives it the two headers that let WebAssembly use
// several threads where the host does not send them. The model itself is kept by wllama.
const KEPT = "page-$version";
const FILES = [
  "./", "chat.css", "chat.js", "assistant.json", "wllama/index.min.js", "wllama/wllama.wasm",
];

self.addEventListener("install", (event) => {
  const fresh = FILES.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(KEPT).then((cache) => cache.addAll(fresh)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  event.waitUntil(dropOthers().then(() => self.clients.claim()));
});

async function dropOthers() {
  for (const name of await caches.keys()) {
    if (name.startsWith("page-") && name !== KEPT) await caches.delete(name);
  }
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const here = new URL(request.url);
  if (request.method !== "GET" || here.origin !== self.location.origin) return;
  if (here.pathname.endsWith(".gguf")) return;
  event.respondWith(answer(request));
});

async function answer(request) {
  const kept = await (await caches.open(KEPT)).match(request, { ignoreSearch: true });
  const response = kept || (await fetch(request));
  if (response.status === 0 || response.type === "opaque") return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
