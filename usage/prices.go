package usage

import (
	"math"
	"math/bits"
	"strings"
	"time"
)

// Price is what a model costs: each an amount for one token, or one second. The
// zero value charges nothing, as provisioned throughput does, which is paid for
// by the hour.
type Price struct {
	Input     USD // of the prompt
	Cached    USD // of the part of the prompt that upstream had in its cache; 0: as Input, below 0: nothing
	Output    USD // of the answer
	Reasoning USD // of the part of the answer that is thought; 0: as Output, below 0: nothing

	Second USD // of each second of sound that is heard; below 0: nothing

	// Long is the longest prompt at these prices: with a longer one the whole
	// request is charged at those below, of which 0 is as above. 0: any length.
	Long                              int64
	LongInput, LongCached, LongOutput USD
}

// Cost returns what a request costs. Cached is a part of input and reasoning a
// part of output, never more than the whole. The cost is never negative, and no
// more than the most that a USD holds.
func (p Price) Cost(input, cached, output, reasoning int64) USD {
	input, output = max(0, input), max(0, output)
	cached, reasoning = min(max(0, cached), input), min(max(0, reasoning), output)
	p = p.full(input)
	sum := times(p.Input, input-cached)
	for _, part := range []USD{times(p.Cached, cached), times(p.Output, output-reasoning), times(p.Reasoning, reasoning)} {
		sum = sum.Plus(part)
	}
	return sum
}

// Sound returns what hearing so much sound costs, beside the tokens that are told of.
func (p Price) Sound(length time.Duration) USD {
	const nanos = int64(time.Second)
	return times(p.Second, int64(length)/nanos).Plus(times(p.Second, int64(length)%nanos) / USD(nanos))
}

// full returns the prices of a request with so long a prompt, each of them said.
func (p Price) full(input int64) Price {
	if p.Long > 0 && input > p.Long {
		// The price of a part goes up with that of the whole, if it does not say.
		p.Cached, p.Input = or(p.LongCached, p.Cached), or(p.LongInput, p.Input)
		if p.LongOutput != 0 {
			p.Output, p.Reasoning = p.LongOutput, 0
		}
	}
	p.Cached, p.Reasoning = or(p.Cached, p.Input), or(p.Reasoning, p.Output)
	return p
}

// or returns a, or b where a is 0.
func or(a, b USD) USD {
	if a == 0 {
		return b
	}
	return a
}

// times returns n times u, or the most that there is. Both count as 0 below it.
func times(u USD, n int64) USD {
	high, low := bits.Mul64(uint64(max(0, u)), uint64(max(0, n)))
	if high > 0 || low > math.MaxInt64 {
		return math.MaxInt64
	}
	return USD(low)
}

// PriceOf returns the list price of a model by its name: the row of the longest
// prefix after which nothing but a version follows, so that a variant nobody has
// priced is not taken for a cheaper one. Azure's spelling gpt-35-turbo and a vendor
// before a slash are understood. It is not ok where no price is known: that of
// fine-tuned models is not, nor that of the router, which is its choice's.
// It walks the whole table: keep what it returns.
func PriceOf(model string) (p Price, ok bool) {
	n := strings.ToLower(strings.TrimSpace(model))
	n = n[strings.LastIndexByte(n, '/')+1:]
	if rest, azure := strings.CutPrefix(n, "gpt-35-"); azure {
		n = "gpt-3.5-" + rest
	}
	longest := -1
	for _, rows := range [][]priced{pricedGPT6(), pricedGPT5(), pricedGPT4(), pricedReasoning(), pricedOlder(), pricedOthers()} {
		for _, r := range rows {
			rest, fits := strings.CutPrefix(n, r.prefix)
			if fits && len(r.prefix) > longest && isVersion(rest) {
				longest, p = len(r.prefix), r.price
			}
		}
	}
	return p, longest >= 0
}

// isVersion reports whether what follows a model's name says no more than which
// version of it is meant: nothing, a date as in -2024-08-06 or -0613, -preview,
// -latest, and any of these together.
func isVersion(rest string) bool {
	const separators = "-:@_"
	if rest == "" {
		return true
	}
	if strings.IndexByte(separators, rest[0]) < 0 {
		return false
	}
	dated := false
	for part := range strings.FieldsFuncSeq(rest, func(r rune) bool { return strings.ContainsRune(separators, r) }) {
		digits := strings.Trim(part, "0123456789") == ""
		switch {
		case part == "preview" || part == "latest":
		case digits && (len(part) == 4 || dated && len(part) == 2):
			dated = true
		default:
			return false
		}
	}
	return true
}

// Max returns the higher of p and q, part by part: no request costs more by either.
func (p Price) Max(q Price) Price {
	return Price{
		Input: max(p.top().Input, q.top().Input), Cached: max(p.top().Cached, q.top().Cached),
		Output: max(p.top().Output, q.top().Output), Reasoning: max(p.top().Reasoning, q.top().Reasoning),
		Second: max(p.Second, q.Second),
	}
}

// top returns the prices of the longest request and of any other, the higher each.
func (p Price) top() Price {
	short, long := p.full(0), p.full(math.MaxInt64)
	return Price{
		Input: max(short.Input, long.Input), Cached: max(short.Cached, long.Cached),
		Output: max(short.Output, long.Output), Reasoning: max(short.Reasoning, long.Reasoning),
	}
}
