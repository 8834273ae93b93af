"""``auspex.bars`` inside a run: more bars than the manifest's inputs, as they were known at the run's point in time.

In the sandbox the executor answers over the channel, at home `_local_run` does from made-up bars or files. ``auspex.bars`` of a notebook is
another function with the same name (`_bar_reading`): it reads from a platform.
"""

from . import _frame

_source = None


class BarsRefused(LookupError):
    """The run may not have these bars, or asked for too many. ``code`` names the reason for programs."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


def bars(instrument, interval, start=None, end=None, *, lookback=None, countback=None):
    """Bars of an instrument of the manifest at any interval, oldest first, known at ``as_of``::

        daily = auspex.bars("BTCUSD", "1d", lookback=30)
        morning = auspex.bars("BTCUSD", "1m", start="2016-10-08T06:00:00Z", end="2016-10-08T09:00:00Z")

    Either the last ``lookback`` bars before ``end`` (500 unless told), or those that start at or after ``start`` and before ``end``; ``end`` is
    ``as_of`` unless told. Moments are datetimes with a zone, microseconds since 1970, or ISO text. Only inside the function that predicts: while
    the module is imported no point in time is known yet. A run may ask a hundred times, for 64 MiB together.

    Raises :class:`auspex.BarsRefused`.
    """
    from ._rows import microseconds
    from .author import InvalidPrediction

    if _source is None:
        raise BarsRefused("too_early", "bars can be asked for during the run, inside the function, not while the module is imported")
    question = {"instrument": str(instrument), "interval": str(interval)}
    if countback is not None and lookback is not None:
        raise TypeError("countback is another name for lookback: give one of them")
    lookback = countback if lookback is None else lookback
    if lookback is not None:
        if start is not None:
            raise TypeError("lookback counts back from end: give it or start, not both")
        question["lookback"] = int(lookback)
    for name, value in (("start", start), ("end", end)):
        if value is not None:
            try:
                question[name] = microseconds(value, name)
            except InvalidPrediction as error:
                raise ValueError(error.reason) from None
    return _source(question)


def use(source):
    """Makes ``auspex.bars`` ask ``source``, a function of a question that gives ``Bars``; None while there is no run."""
    global _source
    import auspex

    _source = source
    auspex.bars = bars


def over(channel):
    """A source that asks the executor, in this process only: what it forks would take its answers.

    Question and answer carry a number. Whatever goes wrong between the two ends the channel: the next answer would be that of another question.
    """
    import _thread
    import posix

    lock = _thread.allocate_lock()
    process = posix.getpid()
    count = 0

    def ask(question):
        nonlocal count
        if posix.getpid() != process:
            raise BarsRefused("other_process", "only the process of the function itself can ask for bars: ask before it forks, and hand them on")
        with lock:
            count += 1
            try:
                return _answer(channel, question, count)
            except BarsRefused:
                raise
            except (OSError, EOFError):
                channel.close()
                raise BarsRefused("channel_closed", "the run asked too often, or something that cannot be understood: no more bars") from None
            except BaseException:
                channel.close()
                raise

    return ask


def _answer(channel, question, number):
    from ._channel import read_file

    channel.send({"bars": question, "id": number})
    answer, file = channel.receive()
    if answer.get("id") != number:
        raise EOFError("this answers another question")
    refused = answer.get("refused")
    if refused:
        raise BarsRefused(refused["code"], refused["message"])
    bars = _frame.decode(read_file(file))[1][0]
    if (bars.instrument, bars.interval) != (question["instrument"], question["interval"]):
        raise EOFError("these are the bars of another question")
    return bars
