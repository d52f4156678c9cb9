"""The page in headless Chromium: opened from a file, with mouse and keyboard, in both themes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from karsl.skeletons import Skeleton
from karsl.visualization.page import PageClip, PageStage, encode_clip, page_html, write_page
from karsl.visualization.page.document import read_asset
from karsl.visualization.page.stages import gather, quantization_scale


@pytest.fixture
def opened(window, page_file):
    """The page, opened from its file."""
    return window().open(page_file)


def test_page_opens_from_a_file_without_requests_or_errors(opened, page_file):
    assert opened.requests == [page_file.as_uri()]
    assert opened.errors == []
    assert opened.page.title() == "a <title> & more"
    assert opened.page.inner_text("#title") == "a <title> & more"
    assert opened.page.inner_text("#count") == "13 of 13 clips · 4 signs"
    assert opened.page.locator("#notice").is_hidden()
    assert opened.colors("#panels canvas") > 20
    assert opened.colors("#timeline") > 4


DECODE = f"""async (payload) => {{ {read_asset("js/decode.js")}
    const clip = await decodeClip(payload, payload.skeletons);
    return [...clip.stages, ...clip.augmentations].map((stage) => Array.from(stage.xy)); }}"""


def assert_decoded(page, clip) -> None:
    """Check that the points of every stage are exact to one level per stage, and missing points are missing."""
    stages = [*clip.stages, *clip.augmentations]
    for stage, output in zip(stages, page.evaluate(DECODE, encode_clip(clip)), strict=True):
        wanted = np.asarray(stage.points)[..., :2]
        got = np.array(output, dtype=np.float64).reshape(wanted.shape)
        assert (np.isnan(got) == np.isnan(wanted)).all()
        assert np.nanmax(np.abs(got - wanted), initial=0) <= (len(stages) + 1) * quantization_scale(wanted)[1]


def test_decoded_points_equal_the_encoded_ones(browser, page_clips, planted):
    page = browser.new_page()
    for clip in (page_clips[0], planted):
        assert_decoded(page, clip)
    page.close()


def test_unusual_clips_are_decoded(browser):
    """One frame, one point, no points, large and equal coordinates, random gaps, positions outside the clip."""
    rng, page = np.random.default_rng(0), browser.new_page()
    body = Skeleton("body", (("pose", ("left_wrist", "right_wrist", "nose")), ("rest", ("tail",))))
    holes = rng.normal(size=(30, 4, 2)) * 1e4 - 5e4
    holes[rng.random((30, 4)) < 0.5] = np.nan
    inds = np.array([-3.0, 0.25, 7.5, 28.9, 29, 400])
    sampled = PageStage("Sample", gather(holes, inds), body, inds)
    for stages in (
        [PageStage("one", rng.random((1, 1, 2)), Skeleton("point", (("all", ("p",)),)))],
        [PageStage("empty", np.full((3, 4, 3), np.nan), body)],
        [PageStage("equal", np.full((3, 4, 2), 7.0), body)],
        [
            PageStage("holes", holes, body),
            sampled,
            PageStage("mirrored", sampled.points[:, body.mirror] * [-1, 1], body, inds),
        ],
    ):
        assert_decoded(page, PageClip(stages[0].name, stages))
    page.close()


def test_search_finds_signs_in_both_languages_and_by_number(opened):
    wanted = {
        "شكرا": {"0002 · thanks"},
        "شُكـراً": {"0002 · thanks"},  # vowel signs and tatweel
        "٢": {"0002 · thanks"},
        "HELLO": {"0001 · hello"},
        "0003": {"0003 · yes"},
        "no": {"0004 · no"},
        "planted": {"0001 · hello", "0002 · thanks", "0003 · yes", "0004 · no"},
        "nothing at all": set(),
    }
    for query, found in wanted.items():
        opened.page.fill("#search", query)
        titles = set(opened.titles())
        assert titles <= found, query
        assert bool(titles) == bool(found), query


def test_spellings_of_one_word_are_equal(browser):
    page = browser.new_page()
    pairs = [
        ["أحمد", "احمد"],
        ["إلى", "الي"],
        ["مدرسة", "مدرسه"],
        ["مسؤول", "مسوول"],
        ["ﻣﺮﺣﺒﺎ", "مرحبا"],
        ["قُرْآن", "قران"],
        ["É", "e"],
    ]
    same = page.evaluate(
        f"(pairs) => {{ {read_asset('js/text.js')}; return pairs.map(([a, b]) => plain(a) === plain(b)); }}", pairs
    )
    page.close()
    assert same == [True] * len(pairs)


def test_arabic_runs_right_to_left_and_is_shaped(opened):
    opened.page.fill("#search", "شكرا")
    opened.page.locator("#list [role=option]").first.click()
    title = opened.page.locator("#clip-arabic")
    assert title.inner_text() == "شكرا"
    assert title.evaluate("node => getComputedStyle(node).direction") == "rtl"
    joined, apart = title.evaluate("""node => {
        const width = (text) => { const span = document.createElement("span"); span.textContent = text; node.append(span);
            const found = span.getBoundingClientRect().width; span.remove(); return found; };
        return [width("شكرا"), width("ش\u200cك\u200cر\u200cا")]; }""")
    assert joined < apart


def test_page_warns_without_an_arabic_font(browser, chromium_path, page_file, tmp_path):
    """The only font is Computer Modern, which has no Arabic."""
    matplotlib = pytest.importorskip("matplotlib")
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    shutil.copy(fonts / "cmr10.ttf", tmp_path)
    config = f"<fontconfig><dir>{tmp_path}</dir><cachedir>{tmp_path}/cache</cachedir></fontconfig>"
    (tmp_path / "fonts.conf").write_text(f'<?xml version="1.0"?>{config}')
    env = {**os.environ, "FONTCONFIG_FILE": str(tmp_path / "fonts.conf")}
    bare = browser.browser_type.launch(executable_path=chromium_path, args=["--no-sandbox"], env=env, timeout=300_000)
    page = bare.new_page()
    page.set_default_timeout(120_000)
    page.goto(page_file.as_uri())
    page.wait_for_selector("html[data-ready=yes]")
    output = page.inner_text("#notice")
    bare.close()
    assert "no font with Arabic letters" in output


def test_filters_by_signer_split_and_missing_hands(opened):
    page = opened.page
    page.select_option("[aria-label=signer]", "02")
    assert 0 < len(opened.titles()) < 13
    page.select_option("[aria-label=split]", "test")
    assert all("signer 02 · test" in text for text in page.locator("#list [role=option]").all_inner_texts())
    page.select_option("[aria-label=split]", "")
    page.select_option("[aria-label=signer]", "")
    page.select_option('[aria-label="Missing hands"]', "left")
    page.locator("#filters .least input").fill("100")
    lines = page.locator("#list [role=option]")
    assert 0 < lines.count() < 13
    assert lines.first.locator('[aria-label="left hand seen in 0% of frames"]').count() == 1
    page.fill("#search", "nothing")
    page.click("text=clear the filters")
    assert len(opened.titles()) == 13


def test_player_plays_and_pauses(opened):
    page = opened.page
    before = opened.counter()
    page.click("#play")
    page.wait_for_function("text => document.querySelector('.counter').textContent !== text", arg=before)
    page.click("#play")
    rested = opened.counter()
    assert opened.counter() == rested
    assert page.inner_text("#play") == "▶ Play"


def test_scrubbing_changes_the_frame(opened):
    page = opened.page
    page.locator("#scrubber").fill("0")
    first = opened.picture()
    assert opened.counter().startswith("1 /")
    page.locator("#scrubber").fill("12")
    assert opened.counter().startswith("13 /")
    assert opened.picture() != first
    page.locator("#timeline canvas").click(position={"x": 92, "y": 20})
    assert opened.counter().startswith("1 /")


def test_sampled_only_shows_sampled_frames(opened, page_clips):
    page = opened.page
    page.click("text=Sampled only")
    sampled = page_clips[0].stages[1].frame_inds
    page.keyboard.press("Home")
    for _ in range(12):
        page.keyboard.press("ArrowRight")
        frame = int(opened.counter().split()[0]) - 1
        assert np.abs(sampled - frame).min() <= 0.5
    assert frame > 16  # 12 steps of one frame each would be 12


def test_pointer_near_a_keypoint_shows_its_name(opened, page_clips):
    text = opened.page.evaluate("""() => {
        const canvas = document.querySelector('#panels canvas'), box = canvas.getBoundingClientRect();
        for (let y = 0; y < box.height; y += 5) for (let x = 0; x < box.width; x += 5) {
            canvas.dispatchEvent(new PointerEvent('pointermove', {clientX: box.x + x, clientY: box.y + y}));
            const reading = document.getElementById('reading');
            if (reading) return reading.innerText;
        } }""")
    assert text.split()[0] in page_clips[0].stages[0].skeleton.names


def test_keys_control_frames_clips_speed_and_search(opened):
    page = opened.page
    press = page.keyboard.press
    press("Home")
    for key, frame in (("ArrowRight", 2), (".", 3), (",", 2), ("ArrowLeft", 1), ("Shift+ArrowRight", 11), ("Home", 1)):
        press(key)
        assert opened.counter().startswith(f"{frame} /"), key
    first = page.inner_text("#clip-metadata")
    press("j")
    page.wait_for_function("text => document.getElementById('clip-metadata').innerText !== text", arg=first)
    press("ArrowUp")
    page.wait_for_function(
        "text => document.getElementById('clip-metadata').innerText.slice(0, 40) === text.slice(0, 40)", arg=first
    )
    press("]")
    assert page.input_value('[aria-label="Speed"]') == "2"
    press("[")
    press("[")
    assert page.input_value('[aria-label="Speed"]') == "0.5"
    press("/")
    page.keyboard.type("thanks")
    press("Enter")
    page.wait_for_function("() => document.getElementById('clip-title').textContent === '0002 · thanks'")
    assert page.evaluate("document.activeElement.id") == "list"
    press("?")
    assert page.locator("#help[open]").count() == 1
    press("Escape")
    assert page.locator("#help[open]").count() == 0
    press("s")
    assert page.locator("#stats-view").is_visible()


def test_keys_typed_into_the_search_are_not_shortcuts(opened):
    page = opened.page
    before = opened.counter()
    page.locator("#search").press_sequentially("s .")
    assert page.input_value("#search") == "s ."
    assert page.locator("#clip-view").is_visible()
    assert opened.counter() == before


def test_stages_switch_compare_and_overlay(opened):
    page = opened.page
    page.keyboard.press("3")
    assert page.locator(".chip[aria-pressed=true]").inner_text() == "2 · RandomFlip"
    assert opened.counter().endswith("/ 16")
    page.keyboard.press("c")
    assert page.locator("#panels figure").count() == 5
    assert page.locator("#panels figure.current .panel-title").inner_text() == "2 · RandomFlip"
    opened.rest()
    pictures = [shot.screenshot() for shot in page.locator("#panels canvas").all()]
    assert len(set(pictures)) >= 3
    page.locator("#panels figure button").nth(4).click()
    assert page.locator(".chip[aria-pressed=true]").inner_text() == "4 · CenterScale"
    page.keyboard.press("o")
    assert page.locator("#panels figure").count() == 1
    over = opened.picture()
    page.select_option('[aria-label="Stage below"]', "3")
    assert opened.picture() != over
    page.keyboard.press("d")
    assert page.locator("#panels figure .panel-title").all_inner_texts() == [
        "4 · CenterScale",
        "augmentation 1",
        "augmentation 2",
    ]


def test_wrong_flip_is_flagged_and_drawn(window, page_file):
    opened = window().open(page_file, "#clip=planted&stage=2")
    page = opened.page
    assert "Hands on the wrong arms since WrongFlip" in page.inner_text("#warning")
    assert page.locator(".chip.bad").all_inner_texts() == ["⚠ 2 · WrongFlip"]
    assert page.locator("#panels .tag.bad").first.inner_text().startswith("⚠ own wrist R 0%")
    with_tethers = opened.picture()
    page.keyboard.press("h")
    assert opened.picture() != with_tethers
    page.check("#only-wrong")
    assert opened.page.locator("#list [role=option]").count() == 1
    page.keyboard.press("1")
    page.keyboard.press("p")
    assert page.locator("#panels .tag.bad").count() == 0


def test_correct_flip_is_not_flagged(opened):
    assert opened.page.locator("#warning").is_hidden()


def test_link_opens_its_clip_stage_frame_and_view(window, page_file, page_clips):
    wanted = page_clips[7]
    opened = window().open(page_file, f"#clip={wanted.link}&stage=1&frame=4&view=compare")
    assert wanted.clip_id in opened.page.inner_text("#clip-metadata")
    assert opened.counter() == "5 / 16"
    assert opened.page.locator("#panels figure").count() == 5
    assert f"clip={wanted.link}" in opened.page.get_attribute("#clip-link", "href")
    opened.page.evaluate(f"location.hash = 'clip={page_clips[2].link}'")
    opened.page.wait_for_function(
        "id => document.getElementById('clip-metadata').innerText.includes(id)", arg=page_clips[2].clip_id
    )


def test_unknown_link_is_reported(window, page_file):
    opened = window().open(page_file, "#clip=unknown")
    assert opened.page.inner_text("#toast") == "no clip 'unknown' in this page"


def test_links_work_through_the_index_of_many_pages(window, page_clips, tmp_path):
    write_page(tmp_path / "all.html", page_clips, clips_per_page=5)
    opened = window()
    opened.page.goto((tmp_path / "all.html").as_uri() + f"#clip={page_clips[11].link}")
    opened.page.wait_for_url("**/all-003.html#clip=*")
    opened.page.wait_for_function(
        "id => document.getElementById('clip-metadata').innerText.includes(id)", arg=page_clips[11].clip_id
    )
    opened.open(tmp_path / "all.html")
    assert opened.page.locator("#stats-view").is_visible()
    opened.page.locator("#list [role=option]").nth(6).click()
    opened.page.wait_for_url("**/all-002.html#clip=*")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_themes_draw(window, page_file, scheme):
    opened = window(color_scheme=scheme).open(page_file)
    ground = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    bright = sum(int(v) for v in ground[4:-1].split(",")) > 380
    assert bright == (scheme == "light")
    assert opened.colors("#panels canvas") > 20
    opened.page.click("#theme")
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") != ground
    opened.page.keyboard.press("s")
    assert opened.colors("#stats-view svg") > 2


def test_statistics_follow_the_filters(opened):
    page = opened.page
    page.click("text=Statistics")
    assert page.locator(".tile b").all_inner_texts()[:3] == ["13", "4", "3"]
    page.fill("#search", "hello")
    assert page.locator(".tile b").all_inner_texts()[1] == "1"
    page.fill("#search", "")
    assert "WrongFlip" in page.locator(".bad-line").inner_text()
    assert "</script><b>x</b>" in page.inner_text("#stats-view dl")
    assert page.locator("svg rect.bar-fill").count() > 10
    page.click(".tile.bad")
    assert page.locator("#list [role=option]").count() == 1


def test_groups_centered_separately_have_separate_panels(window, clips_through, tmp_path):
    steps = [dict(type="LoadKeypoints"), dict(type="CenterScale", per_group=True)]
    write_page(tmp_path / "parts.html", clips_through(steps))
    opened = window().open(tmp_path / "parts.html", "")
    opened.page.keyboard.press("2")
    titles = opened.page.locator("#panels .panel-title").all_inner_texts()
    assert titles == [f"1 · CenterScale: {part}" for part in ("arms", "face", "right hand", "left hand")]


def test_narrow_window_has_a_drawer(window, page_file):
    opened = window(viewport={"width": 400, "height": 800}).open(page_file)
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.locator("#sidebar").is_hidden()
    page.click("#open-list")
    assert page.locator("#list [role=option]").first.is_visible()
    page.locator("#list [role=option]").nth(1).click()
    assert page.locator("#sidebar").is_hidden()
    assert opened.colors("#panels canvas") > 20


def test_every_control_has_a_name_and_the_list_its_position(opened):
    page = opened.page
    page.wait_for_function("() => document.querySelector('#panels canvas').hasAttribute('aria-label')")
    unnamed = page.evaluate("""[...document.querySelectorAll('button, select, input, a[href], [role=img], [role=listbox]')]
        .filter((node) => node.getClientRects().length)
        .filter((node) => !(node.ariaLabel || node.textContent.trim() || node.labels?.length || node.title))
        .map((node) => node.outerHTML)""")
    assert unnamed == []
    active = page.get_attribute("#list", "aria-activedescendant")
    assert page.get_attribute(f"#{active}", "aria-selected") == "true"
    page.wait_for_function(
        "() => /frame \\d+ of/.test(document.querySelector('#panels canvas').getAttribute('aria-label') ?? '')"
    )


def test_served_page_requests_the_list_and_one_clip(window, page_clips):
    from karsl.visualization.page import encode_index

    payloads = {clip.link: encode_clip(clip) for clip in page_clips[:3]}
    opened = window()

    def answer(route) -> None:
        path = route.request.url.removeprefix("http://page.test/")
        if path == "":
            return route.fulfill(body=page_html(server_url="", title="served"), content_type="text/html")
        if path == "index.json":
            return route.fulfill(json=encode_index([payload["row"] for payload in payloads.values()]))
        return route.fulfill(json=payloads[path.removeprefix("clips/").removesuffix(".json")])

    opened.page.route("**/*", answer)
    opened.page.goto("http://page.test/")
    opened.page.wait_for_selector("html[data-ready=yes]")
    assert opened.requests == [f"http://page.test/{p}" for p in ("", "index.json", f"clips/{page_clips[0].link}.json")]
    opened.page.keyboard.press("j")
    opened.page.wait_for_function(
        "id => document.getElementById('clip-metadata').innerText.includes(id)", arg=page_clips[1].clip_id
    )
    assert opened.colors("#panels canvas") > 20


def test_marked_clips_are_kept_and_their_names_copied(window, page_file):
    opened = window()
    opened.page.add_init_script("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    opened.open(page_file)
    assert opened.page.locator("#marks").is_hidden()
    ids = []
    for _ in range(2):
        opened.page.keyboard.press("m")
        ids.append(opened.page.locator("#list [aria-selected=true]").get_attribute("title"))
        opened.page.keyboard.press("j")
        opened.rest()
    opened.page.reload()
    opened.page.wait_for_selector("html[data-ready=yes]")
    assert opened.page.inner_text("#copy-marks") == "Copy 2 marked clips"
    opened.page.click("#copy-marks")
    assert opened.page.evaluate("window.copied") == "".join(f"{clip_id}\n" for clip_id in ids)
    opened.page.keyboard.press("k")
    opened.page.click("text=★ marked")
    assert opened.page.inner_text("#copy-marks") == "Copy 1 marked clip"
    opened.page.click("#clear-marks")
    assert opened.page.locator("#marks").is_hidden()
