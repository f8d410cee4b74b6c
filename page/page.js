const service = new URL("..", location).href.replace(/\/$/, "");

SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: "../openapi.yaml",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null, // it would ask a host of the internet
  plugins: [
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
