// What the tests ask the page.

async function faults(part) {
  await new Promise(requestAnimationFrame); // until then, the page does not follow the colour scheme
  const found = await axe.run(part, { resultTypes: ["violations"] });
  return found.violations.flatMap((rule) => rule.nodes.map((node) => [rule.id, node.html]));
}

// What is wider than its box or the window. Two of Swagger UI's own are, but show it not.
function cut() {
  return [...document.querySelectorAll("#swagger-ui *")].filter((element) => {
    const box = element.getBoundingClientRect();
    const drawn = box.width && getComputedStyle(element).display != "inline";
    if (!drawn || element.matches(".json-schema-2020-12-accordion__icon, .opblock-title")) return false;
    const short = element.matches("select") && element.offsetWidth < width(element);
    return short || box.right > innerWidth || element.scrollWidth > element.clientWidth + 1;
  }).map((element) => element.outerHTML);
}

// How wide a select would be without its rules: as wide as its longest option.
function width(select) {
  const free = select.cloneNode(true);
  free.style.cssText = "position: absolute; width: auto !important; min-width: 0 !important";
  select.after(free);
  const width = free.offsetWidth;
  free.remove();
  return width;
}

// Pixels between the text of each header's name and that of its description, beside or below it.
function gaps() {
  return [...document.querySelectorAll(".headers tbody tr")].map((row) => {
    const [name, text] = [...row.cells].map((cell) => {
      const range = document.createRange();
      range.selectNodeContents(cell);
      return range.getBoundingClientRect();
    });
    return text.top < name.bottom ? text.left - name.right : Infinity;
  });
}

// The element that has the focus, and whether it shows that: white in black is seen on any ground.
function focused() {
  const { offsetWidth, outerHTML } = document.activeElement;
  const { outline, boxShadow } = getComputedStyle(document.activeElement);
  const ring = [outline, boxShadow].join() == "rgb(255, 255, 255) solid 2px,rgb(0, 0, 0) 0px 0px 0px 4px";
  return [outerHTML.slice(0, 200), ring && offsetWidth > 10];
}
