// Start of the page.

/** @param {"clips" | "statistics"} tab */
function goToTab(tab) {
  if (tab === "clips" && isIndex) return;
  update({ tab, playing: false });
}

function paintTab() {
  const clips = state.tab === "clips";
  byId("clip-view").hidden = !clips || !state.row;
  byId("clip-view").classList.toggle("no-clip", !state.clip);
  byId("stats-view").hidden = clips;
  byId("empty").hidden = !clips || Boolean(state.row);
  press(byId("tabs").firstElementChild ?? byId("tabs"), state.tab);
  if (!clips) paintStats();
}

function openDrawer() {
  document.body.classList.add("list-open");
  byId("open-list").setAttribute("aria-expanded", "true");
  paintList();
}

function writeHash() {
  if (!state.row || state.playing || isIndex) return;
  const link = byId("clip-link");
  if (link) link.setAttribute("href", stateToHash());
  try {
    history.replaceState(null, "", stateToHash());
  } catch {
    /* some embedded pages cannot change their address */
  }
}

function goToHash() {
  const { row, name, where } = hashToState();
  if (row) {
    if (!listed.rows.includes(row)) clearFilters();
    return openClip(row, where);
  }
  if (name && data.pages?.home && !isIndex)
    return location.replace(`${encodeURIComponent(data.pages.home)}${location.hash}`);
  if (name) toast(`no clip '${name}' in this page`);
  if (!state.row && listed.rows.length && !isIndex) return openClip(listed.rows[0]);
}

function connect() {
  onChange(["row"], () => {
    paintList();
    scrollToCurrent();
  });
  onChange(["row", "clip", "problem"], paintHead);
  onChange(["row"], () => state.row && announce(`${titleOf(state.row)} ${state.row.ar}, ${state.row.id}`));
  onChange(["clip", "view", "stage", "zoom", "legs", "base"], () => {
    if (!state.clip) return;
    paintToolbar();
    paintLegend();
    buildView();
  });
  /** @type {(keyof State)[]} */
  const flags = ["zoom", "tethers", "legs", "shared", "sampled"];
  onChange(flags, () => flags.forEach((key) => controls[key].setAttribute("aria-pressed", String(state[key]))));
  onChange(["speed"], () => {
    controls.speed.value = state.speed;
  });
  onChange(["playing"], () => {
    controls.play.textContent = state.playing ? "⏸ Pause" : "▶ Play";
  });
  onChange(["tab", "row", "clip"], paintTab);
  onChange(["row", "clip", "frame", "stage", "view", "playing"], writeHash);
  listeners.push(paintSoon);
}

function buildHead() {
  byId("title").textContent = data.title;
  byId("offline").textContent = isServed ? "served by this machine" : "offline · no network access";
  const tabs = [
    ["clips", "Clips", "show clips (s)"],
    ["statistics", "Statistics", "statistics of the clips in the list (s)"],
  ];
  if (!isIndex) byId("tabs").append(segmented("Pages", tabs, state.tab, goToTab));
  if (data.pages && !isIndex) {
    const { before, home, after } = data.pages;
    for (const [name, text] of [
      [before, "‹ previous page"],
      [home, "all pages"],
      [after, "next page ›"],
    ])
      if (name) byId("tabs").append(el("a", { href: encodeURIComponent(name) }, text));
  }
  byId("copy-marks").addEventListener("click", copyMarks);
  byId("clear-marks").addEventListener("click", clearMarks);
  byId("help-button").addEventListener("click", () => byId("help").showModal());
  byId("open-list").addEventListener("click", () =>
    document.body.classList.contains("list-open") ? closeDrawer() : openDrawer(),
  );
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main-area").focus();
  });
  byId("list").addEventListener("scroll", paintList, { passive: true });
  new ResizeObserver(paintList).observe(byId("list"));
}

async function start() {
  buildHead();
  buildControls();
  buildHelp();
  startTheme(paintSoon);
  connect();
  paintMarks();
  listenToKeys();
  byId("empty").textContent = "loading the list of clips …";
  paintTab();
  try {
    await loadIndex();
  } catch (error) {
    byId("empty").textContent = `the list of clips could not be loaded: ${error.message}`;
    return;
  }
  buildFilters();
  refilter();
  byId("empty").textContent = rows.length ? "" : "this page has no clips";
  if (rows.some((row) => row.ar) && !drawsArabic()) {
    byId("notice").textContent =
      "This machine has no font with Arabic letters, so glosses are drawn as boxes; install one, such as Noto Sans Arabic.";
    byId("notice").hidden = false;
  }
  window.addEventListener("hashchange", goToHash);
  await goToHash();
  document.documentElement.dataset.ready = "yes";
}

start();
