SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: "../openapi.yaml",
  deepLinking: true,
  tryItOutEnabled: true,
  validatorUrl: null, // it would ask a host of the internet
});
