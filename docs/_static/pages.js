// What scrolls sideways can be reached by the keyboard.
function focusScrolling() {
  for (const box of document.querySelectorAll("pre, .table-wrapper, .cell_output, .formula")) {
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
