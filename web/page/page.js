SwaggerUIBundle({
  dom_id: "#swagger-ui",
  url: "../openapi.yaml",
  deepLinking: true,
  tryItOutEnabled: true,
  defaultModelExpandDepth: 2, // one click on Schema shows the members with their descriptions
  syntaxHighlight: { theme: "arta" }, // the default has too little contrast
  // Without links in its rows: they are buttons already. The address bar still follows them.
  plugins: [() => ({ components: { DeepLink: ({ text }) => text } })],
});

const dark = matchMedia("(prefers-color-scheme: dark)");
const followScheme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", followScheme);
followScheme();

// Names, roles and landmarks for screen readers, which Swagger UI does not give or gives wrongly.
const ATTRIBUTES = {
  ".information-container": { role: "banner" },
  ".responses-table": { role: "table" },
  ".examples-select-element": { "aria-label": "Example" },
  ".modal-ux": { role: "dialog", "aria-label": "Authorization" },
  ".close-modal": { "aria-label": "Dismiss" },
};
let opener = null; // the button that opened the dialog
let wasOpen = false;

function mend() {
  for (const [selector, attributes] of Object.entries(ATTRIBUTES))
    for (const element of document.querySelectorAll(selector))
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  for (const heading of document.querySelectorAll("h3, h4, h5, h6")) // the page has no h2
    heading.ariaLevel = Math.min(heading.tagName[1] - 1, 4);

  // The dialog takes the focus, keeps it while it is open, and gives it back.
  const dialog = document.querySelector(".modal-ux");
  for (const rest of document.querySelectorAll(".information-container, .auth-wrapper > button, main"))
    rest.inert = Boolean(dialog);
  if (dialog && !dialog.contains(document.activeElement)) dialog.querySelector("input, .modal-btn").focus();
  if (wasOpen && !dialog) opener.focus();
  wasOpen = Boolean(dialog);
}

new MutationObserver(mend).observe(document.body, { childList: true, subtree: true });
addEventListener("click", ({ target }) => {
  opener = target.closest(".auth-wrapper > button, .authorization__btn") ?? opener;
}, true);
