"""The demo: what its page is told, its server, and the page in a real browser."""

from __future__ import annotations

import asyncio
import base64
import functools
import http.client
import io
import json
import random
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import licframe
from licframe.bitstream import container
from licframe.cli.app import app
from licframe.codec.latent import LatentCodec
from licframe.codec.loading import load_for
from licframe.codec.target import Target
from licframe.evaluation import demo
from licframe.evaluation.datasets import sample_picture
from licframe.evaluation.information import bits_per_block
from licframe.picture.images import Picture
from licframe.runtime.limits import DEFAULT, Limits
from licframe.testing.mutations import BYTE_OPERATIONS, OPERATIONS, mutate
from tests.browser import browser as started
from tests.conftest import noise_picture

GOLDEN = Path(__file__).parent / "golden"
SMALL = Limits(pixels=2**16)
TINY = {"profile": "tiny", "value": "30"}


def told(data: bytes, name: str = "a.png", limits: Limits = DEFAULT, **query: str) -> list[demo.Event]:
    return list(demo.Desk(limits).answer(data, name, {**TINY, **query}))


def png(picture: Picture) -> bytes:
    return picture.encode(".png")


# -- what a page is told --------------------------------------------------------------------------


def test_a_picture_is_compressed_beside_others_at_equal_bytes(picture: Picture, codec: LatentCodec) -> None:
    *working, last = told(png(picture), "photo & co.png")
    data = base64.b64decode(last["file"])
    rows = re.findall(r"<tr><td>(.*?)</td><td>(\d+)</td><td>([\d.]+)</td><td>([\d.]+)</td>", last["html"])
    shown = licframe.read(data)

    assert [event["done"] for event in working] == sorted(event["done"] for event in working)
    assert [event["text"] for event in working][1] == "compressing with tiny"
    assert last["name"] == "photo & co.lic"
    assert data == codec.encode(picture, Target(quality=30)).data
    assert [row[0].partition(" (")[0] for row in rows] == ["tiny", "JPEG", "WebP", "AVIF 4:2:0"]
    assert int(rows[0][1]) == len(data)
    assert float(rows[0][3]) == pytest.approx(picture.psnr(shown.pixels), abs=0.01)
    for name, size, *_ in rows[1:]:
        assert int(size) <= len(data) or "smallest" in name
    assert last["html"].count("data:image/webp") == 6 + 4  # original, four codecs, bits, and levels
    assert f"photo &amp; co.png, {picture.size[0]}x{picture.size[1]}, quality 30" in last["html"]


@pytest.mark.parametrize(("target", "value"), [("size", "1500"), ("bpp", "1.5")])
def test_a_target_is_met(picture: Picture, target: str, value: str) -> None:
    data = base64.b64decode(told(png(picture), target=target, value=value)[-1]["file"])
    pixels = picture.size[0] * picture.size[1]
    most = float(value) if target == "size" else float(value) * pixels / 8

    assert 0.5 * most < len(data) <= most


def test_metadata_is_kept_where_that_is_asked_for(picture: Picture) -> None:
    exif = Image.Exif()
    exif[0x010F] = "maker"
    buffer = io.BytesIO()
    Image.fromarray(picture.pixels).save(buffer, "PNG", exif=exif)
    kept, left = (told(buffer.getvalue(), metadata=asked)[-1] for asked in ("on", ""))

    assert set(container.read(base64.b64decode(kept["file"])).metadata) == {"exif"}
    assert not container.read(base64.b64decode(left["file"])).metadata


def test_what_is_not_compared_is_said() -> None:
    pixels = noise_picture(40, 30).pixels
    last = told(png(Picture(pixels, alpha=np.full(pixels.shape[:2], 99, np.uint8))))[-1]

    assert "the .lic file keeps alpha; compared are 8 bits of the colours" in last["html"]
    assert "MS-SSIM is not measured: a side is below 161 pixels" in last["html"]


def test_a_picture_without_loss_has_no_map() -> None:
    last = told(png(Picture(np.zeros((40, 50, 3), np.uint8))))[-1]

    assert "bits per block" not in last["html"]
    assert "kept without loss" in last["html"]


def test_a_lic_file_is_shown() -> None:
    *_, last = told((GOLDEN / "la-q80-revision6.lic").read_bytes(), "la.lic")

    assert "file" not in last
    assert "profile tiny" in last["html"]
    assert last["html"].count("data:image/webp") == 2 + 5
    assert "bits per block of 16x16 pixels" in last["html"]


@pytest.mark.parametrize(
    ("name", "count"), [("rgb-q50", 4), ("grey-q90-revision5", 3), ("la-q80-revision6", 5)]
)
def test_levels_lead_to_the_picture(name: str, count: int, codec: LatentCodec) -> None:
    """The more of them, the nearer; details are one."""
    data = (GOLDEN / f"{name}.lic").read_bytes()
    file = container.read(data)
    picture = codec.decode(data).picture
    near = [
        picture.psnr(codec.decode_preview(data, left_out).picture.pixels)
        for left_out in range(count, -1, -1)
    ]

    assert demo.levels(codec, file) == count
    assert near[0] == near[1] < near[-2] < near[-1] == np.inf  # the coarsest level is always shown
    assert near == sorted(near)


def test_names_are_text() -> None:
    name = "<img src=x onerror=alert(1)>.png"
    *_, last = told(png(noise_picture(20, 20)), name)

    assert "&lt;img src=x onerror" in last["html"]
    assert "<img src=x" not in last["html"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"profile": "../../etc/passwd"}, 'no profile "../../etc/passwd"; there are balanced, '),
        ({"target": "psnr"}, 'cannot be asked for its "psnr"; there are quality, size, bpp'),
        ({"value": "much"}, '"much" is no number'),
        ({"value": "nan"}, "quality is nan"),
        ({"value": "101"}, "101"),
        ({"target": "size", "value": "3"}, "above the target of 3 bytes"),
    ],
)
def test_mistakes_are_told(picture: Picture, query: dict[str, str], sentence: str) -> None:
    *_, last = told(png(picture), **query)

    assert sentence in last["error"]
    assert last["error"].startswith("a.png: ")


def test_limits_hold() -> None:
    assert "at most 65536 are allowed" in told(png(noise_picture(300, 300)), limits=SMALL)[-1]["error"]
    assert told(b"")[-1]["error"] == "a.png is empty; drop a picture or a .lic file"


def is_an_answer(event: demo.Event) -> bool:
    """Say whether something is shown, or a sentence is said that is none on a fault of ours."""
    if "html" in event:
        return True
    return len(event["error"]) > 10 and not re.search(r"unexpected [A-Z]|Traceback|\n", event["error"])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_hostile_lic_files_are_answered_with_a_sentence(operation: str) -> None:
    desk, rng, wrong = demo.Desk(SMALL), random.Random(operation), []
    for name in ("rgb-q50", "grey-q90-revision5", "la-q80-revision6"):
        data = (GOLDEN / f"{name}.lic").read_bytes()
        for _ in range(5):
            changes = [(operation, rng.randrange(2**32), rng.randrange(2**32))]
            *_, last = desk.answer(mutate(data, changes), "a.lic", TINY)
            if not is_an_answer(last):
                wrong.append((name, changes, last))

    assert not wrong


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF"])
def test_hostile_pictures_are_answered_with_a_sentence(kind: str) -> None:
    buffer, rng, desk, wrong = io.BytesIO(), random.Random(kind), demo.Desk(SMALL), []
    Image.fromarray(noise_picture(24, 16).pixels).save(buffer, kind)
    for _ in range(12):
        data = bytearray(buffer.getvalue())
        changes = [(rng.choice([*BYTE_OPERATIONS]), rng.randrange(2**32), rng.randrange(2**32))]
        for name, a, b in changes:
            BYTE_OPERATIONS[name](data, a, b)
        *_, last = desk.answer(bytes(data), "a", TINY)
        if not is_an_answer(last):
            wrong.append((changes, last))

    assert not wrong


def test_a_fault_of_ours_is_told_and_ends_nothing(picture: Picture, monkeypatch) -> None:
    desk = demo.Desk(DEFAULT)
    with monkeypatch.context() as patch:
        patch.setattr(demo, "bits_per_block", lambda *_: 1 / 0)
        *_, failed = desk.answer(png(picture), "a.png", TINY)
    *_, after = desk.answer(png(picture), "a.png", TINY)

    assert failed["error"].startswith("a.png: unexpected ZeroDivisionError: division by zero")
    assert "html" in after


def test_who_stops_lets_the_next_one_in(picture: Picture) -> None:
    desk = demo.Desk(DEFAULT)
    first = desk.answer(png(picture), "a.png", TINY)
    next(first)
    second = desk.answer(png(picture), "b.png", TINY)
    waiting = next(second)["text"]
    first.close()

    assert waiting == "waiting for another picture"
    assert "html" in list(second)[-1]


# -- bits by place --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["rgb-q50", "grey-q60-revision2", "grey-q90-revision5", "la-q80-revision6"]
)
def test_bits_by_place_are_those_of_a_file(name: str, codec: LatentCodec) -> None:
    """Details, tiles and empty channels among them."""
    file = container.read((GOLDEN / f"{name}.lic").read_bytes())
    bits = bits_per_block(codec, file)
    held = [len(payload) for payload, _ in file.payloads] + [len(d.payload) for d in file.details if d]

    assert bits.shape == (-(-file.header.height // 16), -(-file.header.width // 16))
    assert bits.min() >= 0
    # each stream has words of 32 bits, and says which channels are empty
    assert bits.sum() == pytest.approx(8 * sum(held), rel=0.02, abs=128 * len(held))


@pytest.mark.parametrize("quality", [30, 90])
def test_bits_by_place_are_all_there_is(codec: LatentCodec, quality: int) -> None:
    encoded = codec.encode(noise_picture(300, 200), Target(quality=quality))
    file = container.read(encoded.data)

    assert bool(file.details) == (quality == 90)
    assert bits_per_block(codec, file).sum() == pytest.approx(encoded.information, rel=0.01)


def test_bits_are_where_the_detail_is(codec: LatentCodec) -> None:
    pixels = np.full((128, 128, 3), 90, np.uint8)
    pixels[:, 64:] = np.random.default_rng(0).integers(0, 256, (128, 64, 3))
    file = container.read(codec.encode(Picture(pixels), Target(quality=30)).data)
    left, right = np.hsplit(bits_per_block(codec, file), 2)

    assert right.sum() > 5 * left.sum()


@pytest.mark.slow
def test_side_information_counts_where_it_lies(picture: Picture) -> None:
    from licframe.codec.loading import load_latent

    hyper = load_latent("checkerboard")
    data = hyper.encode(picture, Target(quality=40)).data
    file = container.read(data)

    assert load_for(file.header)
    assert bits_per_block(hyper, file).sum() == pytest.approx(8 * len(file.payloads[0][0]), rel=0.02)


def test_colours_grow_lighter() -> None:
    colours = demo.heat(np.linspace(0, 1, 50)[None]).astype(int).sum(-1)[0]

    assert (colours[0], colours[-1]) == (0, 765)
    assert (np.diff(colours) > 0).all()


# -- the server -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    uvicorn = pytest.importorskip("uvicorn")
    from licframe.evaluation.serving import application

    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(application(SMALL), log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def request(
    port: int, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    sent = {
        "Content-Type": "application/octet-stream",
        **{k.replace("_", "-"): v for k, v in headers.items()},
    }
    connection.request(method, path, body, sent)
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


@contextmanager
def posted(address: str, query: str, data: bytes) -> Iterator[http.client.HTTPResponse]:
    with closing(http.client.HTTPConnection(address, timeout=60)) as connection:
        connection.request("POST", f"/answer?{query}", data, {"Content-Type": "application/octet-stream"})
        with connection.getresponse() as answer:
            yield answer


def test_the_page_loads_nothing_from_elsewhere(port: int) -> None:
    status, page, headers = request(port, "GET", "/")

    assert status == 200
    assert not re.findall(rb"https?://", page)
    assert "default-src 'none'" in headers["content-security-policy"]
    assert request(port, "GET", "/sample")[0] == 200


def test_a_file_is_answered_line_by_line(port: int, picture: Picture) -> None:
    status, lines, _ = request(port, "POST", "/answer?profile=tiny&value=30&name=a.png", png(picture))
    events = [json.loads(line) for line in lines.splitlines()]

    assert status == 200
    assert all("text" in event for event in events[:-1])
    assert "html" in events[-1]


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("POST", {"Host": "elsewhere.example"}, 400),  # a name of elsewhere that leads here
        ("POST", {"Content_Type": "text/plain"}, 415),  # what a page of elsewhere may send unasked
        ("OPTIONS", {"Origin": "https://elsewhere.example", "Access_Control_Request_Method": "POST"}, 405),
        ("GET", {}, 405),
    ],
)
def test_others_are_not_answered(port: int, method: str, headers: dict[str, str], status: int) -> None:
    assert request(port, method, "/answer?profile=tiny", b"x", **headers)[0] == status


def test_who_goes_away_lets_the_next_one_in(port: int, picture: Picture) -> None:
    with posted(f"127.0.0.1:{port}", "profile=visual&name=left.png", png(picture)) as answer:
        first = json.loads(answer.readline())["text"]
    _, lines, _ = request(port, "POST", "/answer?profile=tiny&name=next.png", png(picture))
    texts = [json.loads(line).get("text") for line in lines.splitlines()]

    assert first == "reading the picture"
    assert "decoding" in texts


def test_who_goes_away_while_sending_is_no_fault_of_ours() -> None:
    """A page that is closed, or loaded again, leaves no traceback on the terminal."""
    pytest.importorskip("starlette")
    from licframe.evaluation.serving import application

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/answer",
        "query_string": b"name=a.png",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/octet-stream")],
    }
    arriving = iter(
        [{"type": "http.request", "body": b"abc", "more_body": True}, {"type": "http.disconnect"}]
    )
    said: list[dict] = []

    async def receive() -> dict:
        return next(arriving)

    async def send(message: dict) -> None:
        said.append(message)

    asyncio.run(application(SMALL)(scope, receive, send))

    assert said[0]["status"] == 400
    assert b"did not arrive whole" in said[1]["body"]


def test_a_file_beyond_the_limits_is_refused_before_it_is_read(port: int) -> None:
    status, line, _ = request(port, "POST", "/answer?name=a.png", bytes(SMALL.most_bytes + 1))

    assert status == 413
    assert json.loads(line)["error"].startswith(f"a.png has more than {SMALL.most_bytes} bytes")


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["demo", "--port", str(number), "--no-open"])

    assert f"cannot listen on port {number}: Address already in use" in str(done.exception)


# -- the page -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The command itself, in a process of its own."""
    pytest.importorskip("uvicorn")
    command = [sys.executable, "-m", "licframe", "demo", "--port", "0", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]
    process.send_signal(2)
    _, said = process.communicate(timeout=30)
    assert "Traceback" not in said


@pytest.mark.slow
def test_an_interrupt_ends_it_while_it_works() -> None:
    pytest.importorskip("uvicorn")
    command = [sys.executable, "-m", "licframe", "demo", "--port", "0", "--no-open"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = re.search(r"http://(127\.0\.0\.1:\d+)/", process.stdout.readline())[1]
    with posted(address, "profile=max_quality", sample_picture().read_bytes()) as answer:
        texts = [json.loads(answer.readline())["text"] for _ in range(2)]
        process.send_signal(2)
        rest, (_, said) = answer.read(), process.communicate(timeout=20)

    assert texts == ["reading the picture", "compressing with max_quality"]
    assert not rest
    assert process.returncode == 130
    assert not said


@pytest.mark.slow
def test_the_page_works_on_a_phone_and_by_keyboard(address: str, picture: Picture, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import Select, WebDriverWait

    picture.save(tmp_path / "photo.png")
    (tmp_path / "bad.lic").write_bytes((GOLDEN / "rgb-q50.lic").read_bytes()[:300])
    (tmp_path / "downloads").mkdir()
    browser = started(tmp_path / "downloads")
    try:
        browser.get(address)
        find = functools.partial(browser.find_element, "css selector")
        wait = WebDriverWait(browser, 120)

        def drop(path: Path) -> None:
            find("[name=file]").send_keys(str(path))
            wait.until(
                lambda _: (
                    find("#working").get_property("hidden") and (find("#result").text + find("#error").text)
                )
            )

        Select(find("[name=profile]")).select_by_visible_text("tiny")
        drop(tmp_path / "photo.png")
        first = find("#result").text
        focused = browser.switch_to.active_element.get_attribute("id")
        Select(find("[data-side=right]")).select_by_visible_text("AVIF 4:2:0")
        caption = find("[data-caption=right]").text
        find(".slide input").send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        border = find(".slide input").get_property("value")
        offered = find("[data-level-choice]").is_displayed()
        Select(find("[data-side=left]")).select_by_visible_text("bits per block of 16x16 pixels")
        widths = [
            i.get_property("naturalWidth") for i in browser.find_elements("css selector", ".stage img")
        ]
        find("#build").send_keys(Keys.ENTER)
        seen = [find("[data-caption=right]").text]
        wait.until(lambda _: find("[data-caption=right]").text == "right: level 4 of 4")
        find("#download").send_keys(Keys.ENTER)
        saved = tmp_path / "downloads" / "photo.lic"
        wait.until(lambda _: saved.exists() and not list(saved.parent.glob("*.crdownload")))
        find("[name=value]").clear()
        find("[name=value]").send_keys("10", Keys.ENTER)
        wait.until(lambda _: "quality 10" in find("#result").text)
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        drop(tmp_path / "bad.lic")
        error, nothing = find("#error").text, find("#result").text
        drop(saved)
        shown = find("#result").text

        assert "tiny" in first
        assert focused == "result"
        assert caption.startswith("right: AVIF")
        assert border == "51"
        assert not offered  # no side shows levels
        assert seen[0] != "right: level 4 of 4"
        assert widths == [picture.size[0]] * 10
        assert licframe.read(saved).size == picture.size
        assert wide <= 390
        assert error.startswith("bad.lic: ")
        assert not nothing
        assert "profile tiny" in shown
        assert not find("#error").text
        assert browser.get_log("browser") == []
    finally:
        browser.quit()


@pytest.mark.slow
def test_a_picture_can_be_dropped_and_stopped(address: str, tmp_path: Path) -> None:
    from selenium.webdriver.support.ui import Select, WebDriverWait

    picture = base64.b64encode(png(noise_picture(180, 170))).decode()
    drop = f"""const data = new DataTransfer(), bytes = Uint8Array.from(atob("{picture}"), (x) => x.charCodeAt(0));
data.items.add(new File([bytes], "dropped.png"));
dispatchEvent(new DragEvent("drop", {{ dataTransfer: data }}));"""
    browser = started()
    try:
        browser.get(address)
        find = functools.partial(browser.find_element, "css selector")
        wait = WebDriverWait(browser, 120, poll_frequency=0.05)
        browser.execute_script(drop)  # of the profile that takes longest to load
        wait.until(lambda _: "compressing" in find("#text").text)
        find("#stop").click()
        wait.until(lambda _: find("#working").get_property("hidden"))
        stopped = find("#result").text + find("#error").text
        Select(find("[name=profile]")).select_by_visible_text("tiny")
        browser.execute_script(drop)
        wait.until(lambda _: "dropped.png" in find("#result").text)

        assert not stopped
        assert browser.get_log("browser") == []
    finally:
        browser.quit()
