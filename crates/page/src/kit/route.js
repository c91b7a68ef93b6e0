// Which view is shown: `#/devices/ttn/app/dev?state=held`. The address says all, so that it can be sent to a colleague.

const decoded = (part) => { try { return decodeURIComponent(part); } catch { return part; } };

export const here = () => {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decoded), query: Object.fromEntries(new URLSearchParams(query)) };
};

export const to = (parts, query = {}) => {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `#/${parts.map(encodeURIComponent).join("/")}${pairs.length ? `?${new URLSearchParams(pairs)}` : ""}`;
};

// Another query of the same view, without a step in the history.
export const amend = (query) => {
  const { parts } = here();
  history.replaceState(null, "", to(parts, query));
};

// Shows `find(parts)`, a view, in `main` and again whenever the address is another. A view gets a signal that ends when it is left:
// whatever it began ends with it.
export const route = (main, find, named, failed) => {
  let leave = null;
  const show = async (isFirst) => {
    leave?.abort();
    leave = new AbortController();
    const { signal } = leave;
    const { parts, query } = here();
    named(parts);
    main.setAttribute("aria-busy", "true");
    let node;
    try {
      const view = await find(parts);
      node = view.show({ parts, query, signal });
    } catch (error) {
      node = failed(error);
    }
    if (signal.aborted) return;
    main.replaceChildren(node);
    main.removeAttribute("aria-busy");
    const title = main.querySelector("h1");
    document.title = `${title?.textContent ?? ""} · ${document.documentElement.dataset.name}`;
    if (isFirst) return;
    scrollTo(0, 0);
    if (title) { title.tabIndex = -1; title.focus(); }
  };
  addEventListener("hashchange", () => show(false));
  show(true);
};
