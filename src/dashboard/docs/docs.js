// Shows /openapi.json; reading can be tried out from here, sending events cannot.
"use strict";

const dark = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#page",
  deepLinking: true,
  supportedSubmitMethods: ["get"],
  // It would send the document to another host.
  validatorUrl: null,
});
