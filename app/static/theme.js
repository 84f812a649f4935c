// Streamlit keeps the chosen theme for each path apart; a choice made here holds for every page.
(() => {
  const { theme, paths } = document.currentScript.dataset;
  for (const path of paths.split(" ")) localStorage.setItem(`stActiveTheme-${path}-v2`, JSON.stringify(theme));
  location.reload();
})();
