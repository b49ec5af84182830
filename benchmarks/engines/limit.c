/* The limit to compare with: one pass over the bars for one pair of averages, by the fill rules of the backtests, as plain C.
   Prefix sums come from outside, since a sweep makes them once. Returns trades; cash, deepest drawdown and the sums for a
   Sharpe ratio of daily equity go into out. */
#include <math.h>
#include <stddef.h>

static double mean(const double *sums, ptrdiff_t i, ptrdiff_t n) { return (sums[i + 1] - sums[i + 1 - n]) / (double)n; }

long cross(const double *open, const double *high, const double *low, const double *close, const double *sums, long count,
           long fast, long slow, double stop, double target, double fee, double cash, long day, double *out)
{
    double held = 0.0, paid = 0.0, peak = cash, deepest = 0.0, last_day = cash, sum = 0.0, squares = 0.0;
    long trades = 0, days = 0;
    int was_above = 0, wanted = 0, is_locked = 0;
    for (long i = 0; i < count; i++) {
        if (held > 0.0 && !wanted) {
            cash += open[i] * (1.0 - fee);
            held = 0.0;
            trades++;
        } else if (held == 0.0 && wanted && !is_locked) {
            paid = open[i];
            cash -= paid * (1.0 + fee);
            held = 1.0;
        }
        if (held > 0.0) {
            double floor = paid * (1.0 - stop), ceiling = paid * (1.0 + target), price = 0.0;
            if (open[i] <= floor || (open[i] >= ceiling && low[i] > floor)) price = open[i];
            else if (open[i] >= ceiling) price = open[i];
            else if (low[i] <= floor) price = floor;
            else if (high[i] >= ceiling) price = ceiling;
            if (price > 0.0) {
                cash += price * (1.0 - fee);
                held = 0.0;
                trades++;
                is_locked = 1;
            }
        }
        double equity = cash + held * close[i];
        if (equity > peak) peak = equity;
        else if (1.0 - equity / peak > deepest) deepest = 1.0 - equity / peak;
        if ((i + 1) % day == 0) {
            double change = equity / last_day - 1.0;
            sum += change;
            squares += change * change;
            last_day = equity;
            days++;
        }
        int above = i + 1 >= slow && mean(sums, i, fast) > mean(sums, i, slow);
        /* held from the bar where it crosses: the first bar that has both averages is none */
        if (i + 1 > slow && above != was_above) {
            wanted = above;
            is_locked = 0;
        }
        was_above = above;
    }
    if (held > 0.0) {
        cash += close[count - 1] * (1.0 - fee);
        trades++;
    }
    out[0] = cash;
    out[1] = deepest;
    out[2] = sum;
    out[3] = squares;
    out[4] = (double)days;
    return trades;
}
