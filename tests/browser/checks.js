(() => {
  // What is true of each page in each of its forms: text that can be read, targets that can be hit, nothing sideways.
  const problems = [];
  const parse = (text) => (text.match(/[\d.]+/g) || []).map(Number);
  const linear = (value) => ((value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const background = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = parse(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return parse(getComputedStyle(document.documentElement).colorScheme === "dark" ? "0 0 0" : "255 255 255");
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(".unseen, option")) continue;
    const ratio = contrast(parse(getComputedStyle(element).color), background(element));
    if (ratio < 4.5) problems.push(`contrast ${ratio.toFixed(2)}: ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  for (const element of document.querySelectorAll("input:not([type=hidden]), select, button:not(.link)")) {
    const style = getComputedStyle(element);
    const ratio = contrast(parse(style.borderTopColor), background(element.parentElement));
    if (element.type !== "checkbox" && ratio < 3) problems.push(`border ${ratio.toFixed(2)}: ${element.name || element.innerText}`);
    const box = element.getBoundingClientRect();
    if (element.type !== "checkbox" && box.height < 24) problems.push(`low: ${element.name || element.innerText}`);
  }
  const sideways = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (sideways > 0) problems.push(`sideways by ${sideways} px`);
  return problems;
})()
