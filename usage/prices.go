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

	Audio, Image Rates // of the tokens that are of sound, and of images

	Second USD // of each second of sound that is heard; below 0: nothing

	// Long is the longest prompt at these prices: with a longer one the whole
	// request is charged at those below, of which 0 is as above. 0: any length.
	Long                              int64
	LongInput, LongCached, LongOutput USD
}

// Rates are the prices of tokens that are not of text: 0 as those of text, below 0
// nothing. Where what is cached has no price of its own, neither here nor as text,
// it costs what else is of its kind.
type Rates struct{ Input, Cached, Output USD }

// Tokens are what a request used.
type Tokens struct {
	Input, Cached, Output, Reasoning int64 // Cached is a part of Input, Reasoning of Output

	Audio, Image Part // of them that are of sound, and of images; the others are of text
}

// Part is how many of a request's tokens are of one kind; Cached is a part of Input.
type Part struct{ Input, Cached, Output int64 }

// Cost returns what a request costs. A part is never more than the whole, and where
// upstream does not say of which kind cached tokens are, they are of text as far as
// there is any. The cost is never negative, and no more than the most that a USD
// holds.
func (p Price) Cost(t Tokens) USD {
	t.clamp()
	p = p.full(t.Input)
	text := t.rest()
	sum := times(p.Input, text.Input-text.Cached)
	for _, part := range [...]USD{
		times(p.Cached, text.Cached), times(p.Output, text.Output-t.Reasoning), times(p.Reasoning, t.Reasoning),
		p.Audio.cost(t.Audio), p.Image.cost(t.Image),
	} {
		sum = sum.Plus(part)
	}
	return sum
}

// cost returns what the tokens of one kind cost.
func (r Rates) cost(t Part) USD {
	return times(r.Input, t.Input-t.Cached).Plus(times(r.Cached, t.Cached)).Plus(times(r.Output, t.Output))
}

// clamp makes every part no more than the whole, and nothing negative.
func (t *Tokens) clamp() {
	t.Input, t.Output = max(0, t.Input), max(0, t.Output)
	t.Cached = min(max(0, t.Cached), t.Input)
	input, cached, output := t.Input, t.Cached, t.Output
	for _, part := range [...]*Part{&t.Audio, &t.Image} {
		part.Input, part.Output = min(max(0, part.Input), input), min(max(0, part.Output), output)
		part.Cached = min(max(0, part.Cached), part.Input, cached)
		input, cached, output = input-part.Input, cached-part.Cached, output-part.Output
	}
	for _, part := range [...]*Part{&t.Audio, &t.Image} { // what was cached must be of some kind
		more := min(max(0, cached-input), part.Input-part.Cached)
		part.Cached, cached = part.Cached+more, cached-more
	}
	t.Reasoning = min(max(0, t.Reasoning), output)
}

// rest returns the tokens of text.
func (t *Tokens) rest() Part {
	return Part{
		Input: t.Input - t.Audio.Input - t.Image.Input, Cached: t.Cached - t.Audio.Cached - t.Image.Cached,
		Output: t.Output - t.Audio.Output - t.Image.Output,
	}
}

// Kinds say of what else than text the tokens of a request may be.
type Kinds struct{ AudioInput, ImageInput, AudioOutput, ImageOutput bool }

// Most returns the most that a request costs with so many tokens of such kinds:
// whatever of them is cached or thought.
func (p Price) Most(input, output int64, k Kinds) USD {
	p = p.full(input)
	in, out := max(p.Input, p.Cached), max(p.Output, p.Reasoning)
	for _, kind := range [...]struct {
		in, out bool
		Rates
	}{{k.AudioInput, k.AudioOutput, p.Audio}, {k.ImageInput, k.ImageOutput, p.Image}} {
		if kind.in {
			in = max(in, kind.Input, kind.Cached)
		}
		if kind.out {
			out = max(out, kind.Output)
		}
	}
	return times(in, input).Plus(times(out, output))
}

// Parted reports whether tokens of sound or of images have other prices than those
// of text.
func (p Price) Parted() bool {
	p = p.full(0)
	text := Rates{p.Input, p.Cached, p.Output}.max(Rates{})
	return p.Audio.max(Rates{}) != text || p.Image.max(Rates{}) != text
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
	for _, kind := range [...]*Rates{&p.Audio, &p.Image} {
		kind.Input, kind.Output = or(kind.Input, p.Input), or(kind.Output, p.Output)
		kind.Cached = or(kind.Cached, or(p.Cached, kind.Input))
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
	for _, rows := range [][]priced{pricedGPT6(), pricedGPT5(), pricedGPT4(), pricedReasoning(), pricedOlder(), pricedSound(), pricedOthers()} {
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
	a, b := p.top(), q.top()
	return Price{
		Input: max(a.Input, b.Input), Cached: max(a.Cached, b.Cached), Output: max(a.Output, b.Output),
		Reasoning: max(a.Reasoning, b.Reasoning), Audio: a.Audio.max(b.Audio), Image: a.Image.max(b.Image), Second: max(a.Second, b.Second),
	}
}

// top returns the prices of the longest request and of any other, the higher each.
func (p Price) top() Price {
	short, long := p.full(0), p.full(math.MaxInt64)
	return Price{
		Input: max(short.Input, long.Input), Cached: max(short.Cached, long.Cached), Output: max(short.Output, long.Output),
		Reasoning: max(short.Reasoning, long.Reasoning), Audio: short.Audio.max(long.Audio), Image: short.Image.max(long.Image), Second: p.Second,
	}
}

// max returns the higher prices of two.
func (r Rates) max(q Rates) Rates {
	return Rates{max(r.Input, q.Input), max(r.Cached, q.Cached), max(r.Output, q.Output)}
}
