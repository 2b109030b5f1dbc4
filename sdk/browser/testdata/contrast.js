// The texts of the page that are too faint to read: less than 4.5 to 1 against what is behind them.
(() => {
  const rgba = (color) => color.match(/[\d.]+/g).map(Number).concat(1).slice(0, 4);
  const over = ([r, g, b, a], below) => [r, g, b].map((c, i) => c * a + below[i] * (1 - a));
  const behind = (element) => (element ? over(rgba(getComputedStyle(element).backgroundColor), behind(element.parentElement)) : [255, 255, 255]);
  const linear = (c) => (c <= 10 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.05 + 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ratio = (a, b) => Math.max(light(a) / light(b), light(b) / light(a));
  const faint = [];
  const look = (what, color, element) => {
    const measured = ratio(over(rgba(color), behind(element)), behind(element));
    if (measured < 4.5) faint.push(`${what}: ${measured.toFixed(2)}`);
  };
  for (const element of document.querySelectorAll("body *")) {
    if (!element.checkVisibility() || element.matches(":disabled")) continue;
    const texts = [...element.childNodes].filter(({ nodeType, data }) => nodeType === Node.TEXT_NODE && data.trim());
    for (const { data } of texts) look(data.trim().slice(0, 30), getComputedStyle(element).color, element);
    if (element.placeholder) look(element.placeholder, getComputedStyle(element, "::placeholder").color, element);
  }
  return faint;
})();
