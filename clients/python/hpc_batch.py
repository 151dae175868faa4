"""Hand a job to an hpc-batch dropbox and wait for its result.

One rule: a name that ends in ``.job`` is complete from its first instant. It is written under a dot name, which the
gateway never looks at, ends in YAML's document end ``...``, and gets its real name by one rename.

Standard library only, Python 3.6 or newer. PyYAML reads the results when it is installed; nothing is missing without it.
"""

import argparse
import errno
import json
import os
import re
import sys
import time
import uuid
import warnings

__all__ = ["JobTimeout", "dump", "load", "run_tool", "submit", "submit_and_wait", "wait"]

# A gateway that writes results in place may be caught half-way; ours renames, so this long is more than enough
_UNREADABLE_FOR_SECONDS = 10


class JobTimeout(TimeoutError):
    """No result in time. ``job_file`` is the path for another ``wait``; ``left`` is the file that still stands for it."""

    def __init__(self, message, job_file, left):
        super().__init__(message)
        self.job_file = job_file
        self.left = left


def submit_and_wait(dropbox, job, period=10, timeout=None, cancel_on_timeout=False):
    """Submit ``job`` and return it with what became of it under ``job`` (status, message, stdout, stderr, rc, ...).

    ``job`` is a dict: ``script``, and as the script needs them ``args``, ``input_map`` and ``output_map`` (absolute
    paths); any other key comes back as it was. Raises NotADirectoryError when ``dropbox`` is no directory, and
    JobTimeout, a TimeoutError, when there is no result within ``timeout`` seconds (None: wait for ever).
    """
    job_file = submit(dropbox, job)
    return wait(job_file, period, timeout, cancel_on_timeout)


def submit(dropbox, job):
    """Drop ``job`` under a name nobody else uses, and return the path of that file."""
    dropbox = os.fspath(dropbox)
    if not os.path.isdir(dropbox):
        raise NotADirectoryError("Cannot submit to {!r}: it is not a directory".format(dropbox))
    content = dump(job).encode("ascii")
    # The script's name is there for people who list the dropbox; the uuid is what makes the name unique
    label = re.sub(r"[^A-Za-z0-9_-]+", "_", str(job.get("script", "")))[:60].strip("_-") or "job"
    unique = uuid.uuid4().hex
    job_file = os.path.join(dropbox, "{}-{}.job".format(label, unique))
    temporary = os.path.join(dropbox, ".hpc_batch-{}.tmp".format(unique))
    try:
        # 0o666 under the caller's umask: the gateway may be another user, who has to be able to read it
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # Not link + unlink: the gateway refuses a job file that has, even for a moment, a second name
        os.rename(temporary, job_file)
    except BaseException:
        _unlink_if_there(temporary)
        raise
    _sync_directory(dropbox)
    return job_file


def wait(job_file, period=10, timeout=None, cancel_on_timeout=False):
    """Wait for the result of a submitted job, take it out of the dropbox and return it."""
    if period < 0:
        raise ValueError("Cannot poll every {!r} seconds".format(period))
    job_file = os.fspath(job_file)
    finished = job_file + ".finished"
    deadline = None if timeout is None else time.monotonic() + timeout
    unreadable_since = None
    while True:
        now = time.monotonic()
        try:
            result = _read_result(finished)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ESTALE):
                raise
            unreadable_since = None
        except ValueError as error:
            unreadable_since = unreadable_since if unreadable_since is not None else now
            if now - unreadable_since >= _UNREADABLE_FOR_SECONDS:
                raise ValueError("Cannot read {!r}: {}; the file is left as it is".format(finished, error)) from error
        else:
            _take_away(finished)
            return result
        if deadline is not None and now >= deadline:
            raise _timed_out(job_file, timeout, cancel_on_timeout)
        pause = period if unreadable_since is None else min(period, 1)
        time.sleep(pause if deadline is None else max(0, min(pause, deadline - now)))


def _read_result(finished):
    with open(finished, "rb") as file:
        text = file.read().decode("utf-8")
    result = load(text)
    outcome = result.get("job") if isinstance(result, dict) else None
    if not isinstance(outcome, dict) or not isinstance(outcome.get("status"), str):
        raise ValueError("it has no job.status")
    return result


def _take_away(finished):
    try:
        _unlink_if_there(finished)
    except OSError as error:
        # The name is never used again, so what stays behind is litter; losing the result over it would be worse
        warnings.warn("Cannot remove {!r}: {}".format(finished, error))


def _timed_out(job_file, timeout, cancel):
    """The error to raise, after asking the gateway to stop the job if that was wanted."""
    candidates = [job_file + ".submitted", job_file, job_file + ".finished"]
    left = next((path for path in candidates if os.path.lexists(path)), None)
    where = "{!r} is left".format(left) if left is not None else "no file of it is left in the dropbox"
    advice = "wait() for it again, or touch {!r}".format(job_file + ".cancel")
    if cancel:
        os.close(os.open(job_file + ".cancel", os.O_WRONLY | os.O_CREAT, 0o666))
        advice = "its cancellation is asked for"
    message = "Cannot get the result of {!r} within {} s: {}; {}".format(job_file, timeout, where, advice)
    return JobTimeout(message, job_file, left)


def _unlink_if_there(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _sync_directory(directory):
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        return  # a dropbox one may write but not list
    try:
        os.fsync(descriptor)
    except OSError:
        pass  # some network file systems cannot; the job is there all the same
    finally:
        os.close(descriptor)


# --- writing: block style, because the gateway adds its own blocks after these very bytes; every text is quoted, so no
# --- reader of any YAML version can take "no", "014" or "1:30" for anything but text


def dump(job):
    """A job description as YAML text, in ASCII."""
    if not isinstance(job, dict):
        raise TypeError("A job is a dict, not {}".format(type(job).__name__))
    if not job:
        raise ValueError("Cannot submit an empty job")
    return "\n".join(_block(job, 0, "job")) + "\n...\n"


def _block(value, indent, where):
    """The lines of a dict or list that is not empty."""
    pad = " " * indent
    if isinstance(value, dict):
        for key, item in value.items():
            here = "{}[{!r}]".format(where, key)
            if not isinstance(key, str):
                raise TypeError("Cannot write {}: a key is text, not {}".format(here, type(key).__name__))
            name = _quoted(key, here)
            if len(name) > 1000:  # YAML's own limit is 1024 for the key of a line
                raise ValueError("Cannot write {:.60}...: the key is too long".format(here))
            if isinstance(item, (dict, list, tuple)) and item:
                yield "{}{}:".format(pad, name)
                yield from _block(item, indent + 2, here)
            else:
                yield "{}{}: {}".format(pad, name, _scalar(item, here))
    else:
        for index, item in enumerate(value):
            here = "{}[{}]".format(where, index)
            if isinstance(item, (dict, list, tuple)) and item:
                lines = _block(item, indent + 2, here)
                yield "{}- {}".format(pad, next(lines)[indent + 2 :])
                yield from lines
            else:
                yield "{}- {}".format(pad, _scalar(item, here))


def _scalar(value, where):
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return format(value, "d")
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, str):
        return _quoted(value, where)
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, (list, tuple)):
        return "[]"
    kinds = "text, a number, True, False, None, a list or a dict"
    raise TypeError("Cannot write {}: {} is not {}".format(where, type(value).__name__, kinds))


def _number(value):
    text = float.__repr__(value)
    if text in ("nan", "inf", "-inf"):
        return text.replace("nan", ".nan").replace("inf", ".inf")
    # YAML 1.1 takes 1e+21 for text; with a point in it, everyone sees a number
    return text if "." in text else text.replace("e", ".0e")


_SHORT_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _quoted(text, where):
    def escape(match):
        character = match.group()
        code = ord(character)
        if 0xD800 <= code <= 0xDFFF:  # how Python shows bytes of a file name that are not UTF-8
            raise ValueError("Cannot write {}: {!r} is not valid Unicode".format(where, text))
        if character in _SHORT_ESCAPES:
            return _SHORT_ESCAPES[character]
        # json.dumps would write two \u for what is one character beyond \uFFFF; YAML has \U for it
        return ("\\x{:02X}" if code < 0x100 else "\\u{:04X}" if code < 0x10000 else "\\U{:08X}").format(code)

    return '"' + re.sub(r'[^ !#-\[\]-~]', escape, text) + '"'


# --- reading: what dump() above and the gateway write, and no more; anything else is an error, never a guess


def load(text):
    """The value of YAML text, read by PyYAML if it is installed, else by the reader below."""
    try:
        import yaml
    except ImportError:
        return _Reader(text).document()
    try:
        return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ValueError("it is not valid YAML: {}".format(error)) from error


_QUOTED_TEXT = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"')
_PLAIN_KEY = re.compile(r'([^ "\'\[\]{}&*!|>%@`#,].*?) *:(?= |$)')
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?")
_WORDS = {
    "null": None, "~": None, "true": True, "false": False,
    ".nan": float("nan"), ".inf": float("inf"), "-.inf": float("-inf"),
}  # fmt: skip
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPED = {
    "0": "\0", "a": "\a", "b": "\b", "t": "\t", "\t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "e": "\x1b",
    " ": " ", '"': '"', "/": "/", "\\": "\\", "N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029",
}  # fmt: skip


class _Reader:
    def __init__(self, text):
        self.at = 0
        self.lines = []  # (indent, content, number)
        # Not splitlines(): that would also break at characters which are content here
        for number, line in enumerate(text.split("\n"), 1):
            line = line.rstrip(" \r")
            if line == "...":
                break
            content = line.lstrip(" ")
            if content and line != "---" and not content.startswith("#"):
                self.lines.append((len(line) - len(content), content, number))

    def document(self):
        if not self.lines:
            return None
        value = self.block()
        if self.at < len(self.lines):
            raise self.wrong("is not expected here")
        return value

    def block(self):
        """The value that begins at the current line."""
        indent, content, _ = self.lines[self.at]
        if content == "-" or content.startswith("- "):
            return self.sequence(indent)
        if content.startswith("? ") or self.key(content) is not None:
            return self.mapping(indent)
        return self.scalar(content)

    def sequence(self, indent):
        items = []
        while self.stands_at(indent) and (self.content() + " ").startswith("- "):
            items.append(self.after_mark(indent, list_may_align=False))
        return items

    def mapping(self, indent):
        items = {}
        while self.stands_at(indent) and not (self.content() + " ").startswith("- "):
            content = self.content()
            if content.startswith("? "):
                key = self.scalar(content[2:].lstrip(" "))
                if not self.stands_at(indent) or not (self.content() + " ").startswith(": "):
                    raise ValueError("the key {!r} has no value".format(key))
                value = self.after_mark(indent, list_may_align=True)
            else:
                found = self.key(content)
                if found is None:
                    raise self.wrong('is not "key: value"')
                key, rest = found
                value = self.scalar(rest) if rest else self.below(indent, list_may_align=True)
            if key in items:
                raise ValueError("the key {!r} is there twice".format(key))
            items[key] = value
        return items

    def after_mark(self, indent, list_may_align):
        """What follows the "-" or ":" that starts a line: on that line, or below it."""
        _, content, number = self.lines[self.at]
        rest = content[1:].lstrip(" ")
        if not rest:
            return self.below(indent, list_may_align)
        self.lines[self.at] = (indent + len(content) - len(rest), rest, number)
        return self.block()

    def below(self, indent, list_may_align):
        """The value on the lines after this one, deeper than `indent` (for a key, a list may also stand at it)."""
        self.at += 1
        if self.at == len(self.lines):
            return None
        deeper = self.lines[self.at][0] - indent
        if deeper > 0 or (deeper == 0 and list_may_align and (self.content() + " ").startswith("- ")):
            return self.block()
        return None

    def key(self, content):
        """(key, what follows it) of a line that is "key: ..."; None when it is not."""
        quoted = _QUOTED_TEXT.match(content)
        if quoted is not None:
            rest = content[quoted.end() :].lstrip(" ")
            if not (rest + " ").startswith(": "):
                return None
            return self.unescaped(quoted.group(1)), rest[1:].lstrip(" ")
        plain = _PLAIN_KEY.match(content)
        return None if plain is None else (plain.group(1), content[plain.end() :].lstrip(" "))

    def scalar(self, text):
        if text.startswith('"'):
            quoted = _QUOTED_TEXT.fullmatch(text)
            if quoted is None:
                raise self.wrong("has a text without its closing quote")
            value = self.unescaped(quoted.group(1))
        elif text in _WORDS:
            value = _WORDS[text]
        elif text == "{}":
            value = {}
        elif text == "[]":
            value = []
        elif _INTEGER.fullmatch(text):
            value = int(text)
        elif _FLOAT.fullmatch(text):
            value = float(text)
        else:
            raise self.wrong("is YAML this reader does not know (install PyYAML)")
        self.at += 1
        return value

    def unescaped(self, text):
        def character(match):
            code = match.group(1) or match.group(2) or match.group(3)
            if code is None:
                if match.group(4) not in _ESCAPED:
                    raise self.wrong("has the unknown escape {!r}".format(match.group()))
                return _ESCAPED[match.group(4)]
            if 0xD800 <= int(code, 16) <= 0xDFFF or int(code, 16) > 0x10FFFF:
                raise self.wrong("has the escape {!r}, which is no character".format(match.group()))
            return chr(int(code, 16))

        return _ESCAPE.sub(character, text)

    def stands_at(self, indent):
        return self.at < len(self.lines) and self.lines[self.at][0] == indent

    def content(self):
        return self.lines[self.at][1]

    def wrong(self, what):
        _, content, number = self.lines[min(self.at, len(self.lines) - 1)]
        return ValueError("line {}, {!r}, {}".format(number, content[:80], what))


# --- command lines


def run_tool(description, script, inputs, outputs, argv=None):
    """The whole of a command-line tool: `dropbox`, then one path per key of `inputs` and `outputs` ({key: help})."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("dropbox", help="directory the gateway takes jobs from")
    for key, text in list(inputs.items()) + list(outputs.items()):
        parser.add_argument(key, help=text)
    _add_options(parser)
    options = parser.parse_args(argv)
    # The gateway wants absolute paths, a shell or Galaxy may give relative ones
    job = {
        "script": script,
        "input_map": {key: os.path.abspath(getattr(options, key)) for key in inputs},
        "output_map": {key: os.path.abspath(getattr(options, key)) for key in outputs},
    }
    return _run(parser.prog, job, options)


def main(argv=None):
    """Submit a job written as JSON, wait for it, pass on what it printed; exit 0 if and only if it went well."""
    parser = argparse.ArgumentParser(prog="hpc_batch", description=main.__doc__)
    parser.add_argument("dropbox", help="directory the gateway takes jobs from")
    parser.add_argument("job", help="JSON file with script, args, input_map and output_map; - for stdin")
    _add_options(parser)
    options = parser.parse_args(argv)
    try:
        if options.job == "-":
            job = json.loads(sys.stdin.buffer.read().decode("utf-8"))
        else:
            with open(options.job, "rb") as file:
                job = json.loads(file.read().decode("utf-8"))
    except (OSError, ValueError) as error:
        parser.error("Cannot read the job {!r}: {}".format(options.job, error))
    return _run(parser.prog, job, options)


def _add_options(parser):
    parser.add_argument("--period", type=_seconds, default=10, metavar="S", help="look every S seconds (10)")
    parser.add_argument("--timeout", type=_seconds, metavar="S", help="give up after S seconds, exit 124 (never)")
    parser.add_argument("--cancel-on-timeout", action="store_true", help="then also ask the gateway to stop the job")
    parser.add_argument("--debug", action="store_true", help="say on stderr which job file is waited for")


def _seconds(text):
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def _run(program, job, options):
    try:
        job_file = submit(options.dropbox, job)
        if options.debug:
            _print(sys.stderr, "{}: waiting for {}.finished\n".format(program, job_file))
        result = wait(job_file, options.period, options.timeout, options.cancel_on_timeout)
    except JobTimeout as error:
        _print(sys.stderr, "{}: {}\n".format(program, error))
        return 124
    except (OSError, TypeError, ValueError) as error:
        _print(sys.stderr, "{}: {}\n".format(program, error))
        return 1
    outcome = result["job"]
    _print(sys.stdout, outcome.get("stdout") or "")
    _print(sys.stderr, outcome.get("stderr") or "")
    if outcome["status"] == "ok":
        return 0
    _print(sys.stderr, "{}: {}\n".format(program, outcome.get("message") or "the job failed"))
    return 1


def _print(stream, text):
    # As UTF-8 whatever the locale is: a tool started by cron or Galaxy often has none, and must not die of an umlaut
    stream.buffer.write(text.encode("utf-8", "backslashreplace"))
    stream.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
