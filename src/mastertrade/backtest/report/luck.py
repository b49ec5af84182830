"""What may be chance, in plain words."""

from mastertrade.backtest.report.model import Luck
from mastertrade.backtest.report.wording import count, known, number, percent

CONVINCING = 0.95
DOUBTFUL = 0.80
OVERFITTED = 0.50
"""A probability of overfitting from here on says that choosing by past results did no better than a coin."""


def verdict(luck: Luck) -> str:
    """One or two sentences; never silent, since saying nothing would read as approval."""
    said = luck.sentence or _deflated(luck)
    overfitting = known(luck.overfitting)
    if overfitting is None:
        return said
    judged = "overfitted" if overfitting >= OVERFITTED else "not overfitted by this measure"
    return f"{said} Probability of backtest overfitting {percent(overfitting, 0, sign=False)}: {judged}."


def figures(luck: Luck) -> list[tuple[str, str, str]]:
    """Name, figure and what it means, for those that are known."""
    rows = []
    if luck.trials is not None:
        rows.append(("trials made", f"{luck.trials:,}", "each more makes a good result by chance more likely"))
    if known(luck.deflated_sharpe) is not None:
        meaning = "chance that the true Sharpe is above what the best of as many random trials shows"
        rows.append(("deflated Sharpe", percent(luck.deflated_sharpe, 1, sign=False), meaning))
    elif known(luck.probabilistic_sharpe) is not None:
        meaning = "chance that the true Sharpe is above 0, were this the only trial"
        rows.append(("prob. Sharpe", percent(luck.probabilistic_sharpe, 1, sign=False), meaning))
    if luck.sharpe_interval is not None:
        low, high = luck.sharpe_interval
        rows.append(("Sharpe between", f"{number(low)}..{number(high)}", "95 % of resampled histories lie in it"))
    if known(luck.overfitting) is not None:
        meaning = "chance that the best in sample is below the median out of sample (PBO)"
        rows.append(("overfitting", percent(luck.overfitting, 0, sign=False), meaning))
    return rows


def _deflated(luck: Luck) -> str:
    probability, trials = known(luck.deflated_sharpe), luck.trials
    if probability is None:
        if trials is not None and trials > 1:
            return f"The best of {count(trials, 'trial')} looks good by chance alone; how good was not measured."
        return "How many other ideas were tried is not known here, so luck is not ruled out."
    after = f"after {count(trials, 'trial')}" if trials else "for one trial"
    shown = percent(probability, 0, sign=False)
    if probability >= CONVINCING:
        return f"Unlikely to be luck alone: {shown} deflated Sharpe {after}."
    if probability >= DOUBTFUL:
        return f"May well be luck: {shown} deflated Sharpe {after}, 95 % would convince."
    return f"Likely luck: {shown} deflated Sharpe {after}, 95 % would convince."
