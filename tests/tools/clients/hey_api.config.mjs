// What hey-api makes, by the name that test_clients.py has for it.
const plugins = {
  plain: ["@hey-api/sdk"],
  text: ["@hey-api/sdk"],
  zod: ["zod", { name: "@hey-api/sdk", validator: true }],
  offset: [{ name: "zod", dates: { offset: true } }, { name: "@hey-api/sdk", validator: true }],
  transformers: ["@hey-api/transformers", { name: "@hey-api/sdk", transformer: true }],
};
export default {
  input: process.env.CONTRACT,
  logs: { file: false },
  output: { importFileExtension: ".ts", path: "made" },
  plugins: ["@hey-api/client-fetch", ...plugins[process.env.HOW]],
};
