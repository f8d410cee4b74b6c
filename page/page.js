const service = new URL("..", location).href.replace(/\/$/, "");

SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: "../openapi.yaml",
  deepLinking: true,
  tryItOutEnabled: true,
  syntaxHighlight: { theme: "arta" }, // the default has too little contrast
  validatorUrl: null, // it would ask a host of the internet
  plugins: [
    // Without links in its rows: they are buttons already. The address bar still follows them.
    () => ({ components: { DeepLink: ({ text }) => text } }),
    // The contract names the default address of `flask run`; the page calls its own service.
    () => ({
      statePlugins: {
        spec: {
          wrapActions: {
            updateJsonSpec: (update) => (spec) => update({ ...spec, servers: [{ url: service }] }),
          },
        },
      },
    }),
  ],
});

// Screen readers need names that Swagger UI does not give.
new MutationObserver(() => {
  for (const select of document.querySelectorAll(".examples-select-element")) select.ariaLabel = "Example";
  for (const code of document.querySelectorAll(".microlight")) code.tabIndex = 0; // scrolls
  for (const button of document.querySelectorAll(".close-modal")) button.ariaLabel = "Dismiss";
}).observe(document.body, { childList: true, subtree: true });
