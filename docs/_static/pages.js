// Figures shrink to three quarters at most, or else scroll, so that their text can be read on a phone.
addEventListener("load", () => {
  for (const image of document.querySelectorAll(".cell_output img, img.sphx-glr-single-img")) {
    const width = parseFloat(image.style.width || image.getAttribute("width") || image.naturalWidth);
    image.style.minWidth = `min(${0.75 * width}px, 46rem)`;
  }
});
// What scrolls sideways can be reached by the keyboard.
function focusScrolling() {
  for (const box of document.querySelectorAll("pre, .table-wrapper, .cell_output, .formula, .sphx-glr-single-img")) {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
addEventListener("load", focusScrolling);
addEventListener("resize", focusScrolling);
// sphinx-gallery's links keep their name where their text is cut off.
addEventListener("DOMContentLoaded", () => {
  for (const link of document.querySelectorAll(".sphx-glr-thumbcontainer a")) link.setAttribute("aria-label", link.textContent);
});
