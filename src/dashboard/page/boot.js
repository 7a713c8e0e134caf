// Sets language, theme and size of type before the first paint, so that nothing flickers. Not a
// module: modules run after the document has been read.
(() => {
  const stored = (name) => {
    try {
      return localStorage.getItem(`otklik.${name}`);
    } catch {
      return null; // storage may be forbidden; the choice then holds until the page is left
    }
  };
  const root = document.documentElement;
  const spoken = navigator.languages?.length ? navigator.languages : [navigator.language];
  const isRussian = spoken[0]?.toLowerCase().startsWith("ru");
  root.lang = stored("language") ?? (isRussian ? "ru" : "en");
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = stored("theme") ?? (isDark ? "dark" : "light");
  root.dataset.type = stored("type") ?? "normal";
})();
