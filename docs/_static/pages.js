// What scrolls sideways can be reached by the keyboard.
function focusScrolling() {
  for (const box of document.querySelectorAll("pre, .table-wrapper, .cell_output, .formula")) {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight + 1) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}
addEventListener("load", focusScrolling);
addEventListener("resize", focusScrolling);
