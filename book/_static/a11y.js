// Small repairs of the theme's accessibility: buttons that show words need no other name, the title block
// gets a landmark, boxes that scroll can be reached with the keyboard.
document.addEventListener("DOMContentLoaded", () => {
  for (const button of document.querySelectorAll("button[aria-label], a[aria-label]")) {
    if (button.textContent.trim()) button.removeAttribute("aria-label");
  }
  const titleBlock = document.getElementById("jb-print-docs-body");
  if (titleBlock) {
    titleBlock.setAttribute("role", "region");
    titleBlock.setAttribute("aria-label", "Printed contents");
  }
  // The bibliography's roles are deprecated in the standard; without them it is read as plain text.
  for (const part of document.querySelectorAll(".citation-list, .citation-list [role]")) part.removeAttribute("role");
  const sidebar = document.querySelector(".sidebar-primary-items__start");
  if (sidebar) {
    sidebar.setAttribute("role", "region");
    sidebar.setAttribute("aria-label", "Book");
  }
  const reachable = () => {
    for (const box of document.querySelectorAll("div.cell_output, .pst-scrollable-table-container, .scoreboard-box, div.highlight pre")) {
      if (box.scrollWidth > box.clientWidth) box.setAttribute("tabindex", "0");
    }
  };
  reachable();
  document.addEventListener("toggle", reachable, true); // folded code has no width until it is opened
});
