package command

import (
	"fmt"
	"math"
)

// quantity writes a number in few digits: 412, 213k, 1.2M.
func quantity(n float64) string {
	for _, u := range []struct {
		factor float64
		name   string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= u.factor*10 || n >= u.factor && u.factor > 1e3 {
			return fewest(n/u.factor) + u.name
		}
	}
	return fewest(n)
}

// fewest writes a number with a decimal where that tells something.
func fewest(n float64) string {
	switch {
	case n == math.Trunc(n) || n >= 100:
		return fmt.Sprintf("%.0f", n)
	default:
		return fmt.Sprintf("%.1f", n)
	}
}

// milliseconds writes a time, a dash for none.
func milliseconds(ms *float64) string {
	switch {
	case ms == nil:
		return "-"
	case *ms < 10:
		return fmt.Sprintf("%.2f ms", *ms)
	case *ms < 1000:
		return fmt.Sprintf("%.0f ms", *ms)
	default:
		return fmt.Sprintf("%.1f s", *ms/1000)
	}
}

// share writes a part of a whole, a dash for none.
func share(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", *x*100)
}
