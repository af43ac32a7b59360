package usage_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weir/tokens"
	"weir/usage"
)

// TestPriceCost holds what the tokens of a request cost.
func TestPriceCost(t *testing.T) {
	t.Parallel()
	plain := usage.Price{Input: 10, Cached: 1, Output: 40, Reasoning: 50}
	long := usage.Price{Input: 10, Cached: 1, Output: 40, Long: 100, LongInput: 20, LongCached: 2, LongOutput: 60}
	tests := []struct {
		name                             string
		price                            usage.Price
		input, cached, output, reasoning int64
		want                             usage.USD
	}{
		{"nothing used", plain, 0, 0, 0, 0, 0},
		{"a prompt", plain, 100, 0, 0, 0, 1000},
		{"a prompt of which a part was cached", plain, 100, 60, 0, 0, 400 + 60},
		{"an answer", plain, 0, 0, 100, 0, 4000},
		{"an answer of which a part was thought", plain, 0, 0, 100, 60, 1600 + 3000},
		{"all of it", plain, 100, 60, 100, 60, 460 + 4600},
		{"more cached than there is", plain, 100, 101, 0, 0, 100},
		{"more thought than there is", plain, 0, 0, 100, 101, 5000},
		{"below nothing", plain, -1, -1, -1, -1, 0},
		{"paid for by the hour", usage.Price{}, math.MaxInt64, 1, math.MaxInt64, 1, 0},
		{"no price of its own for the cache", usage.Price{Input: 10}, 100, 60, 0, 0, 1000},
		{"no price of its own for thought", usage.Price{Output: 40}, 0, 0, 100, 60, 4000},
		{"a price below nothing", usage.Price{Input: -10, Output: 40}, 100, 0, 1, 0, 40},
		{"not long yet", long, 100, 50, 10, 0, 500 + 50 + 400},
		{"long", long, 101, 50, 10, 0, 51*20 + 50*2 + 600},
		{"long, and thought", long, 101, 0, 10, 10, 101*20 + 600},
		{"long, and thought was dearer", usage.Price{Output: 40, Reasoning: 50, Long: 100, LongOutput: 60}, 101, 0, 10, 10, 600},
		{"long, and no more than that is known", usage.Price{Input: 10, Cached: 1, Output: 40, Reasoning: 50, Long: 100}, 101, 1, 2, 1, 1000 + 1 + 40 + 50},
		{"long, and the prompt alone is dearer", usage.Price{Input: 10, Output: 40, Long: 100, LongInput: 20}, 101, 1, 2, 1, 2020 + 80},
		{"more than there is, by a product", usage.Price{Input: 2}, math.MaxInt64/2 + 1, 0, 0, 0, math.MaxInt64},
		{"more than there is, by thought", usage.Price{Reasoning: 2}, 0, 0, math.MaxInt64/2 + 1, math.MaxInt64/2 + 1, math.MaxInt64},
		{"more than there is, by far", usage.Price{Input: math.MaxInt64}, math.MaxInt64, 0, 0, 0, math.MaxInt64},
		{"more than there is, by a sum", usage.Price{Input: 1, Output: 1}, math.MaxInt64, 0, 1, 0, math.MaxInt64},
		{"all there is", usage.Price{Input: 1, Output: 1}, math.MaxInt64 - 1, 0, 1, 0, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.price.Cost(usage.Tokens{Input: tt.input, Cached: tt.cached, Output: tt.output, Reasoning: tt.reasoning}); got != tt.want {
				t.Errorf("Cost(%d, %d, %d, %d) = %d, want %d", tt.input, tt.cached, tt.output, tt.reasoning, got, tt.want)
			}
		})
	}
}

// TestPriceOfParts holds what tokens cost of which upstream says of what they are.
func TestPriceOfParts(t *testing.T) {
	t.Parallel()
	all := usage.Price{
		Input: 10, Cached: 1, Output: 40, Reasoning: 50,
		Audio: usage.Rates{Input: 100, Cached: 5, Output: 400}, Image: usage.Rates{Input: 20, Cached: 2, Output: 300},
	}
	part := func(input, cached, output int64) usage.Part {
		return usage.Part{Input: input, Cached: cached, Output: output}
	}
	tests := []struct {
		name  string
		price usage.Price
		used  usage.Tokens
		want  usage.USD
	}{
		{"sound", all, usage.Tokens{Input: 100, Output: 50, Audio: part(60, 0, 40)}, 40*10 + 60*100 + 10*40 + 40*400},
		{"images", all, usage.Tokens{Input: 100, Output: 50, Image: part(60, 0, 40)}, 40*10 + 60*20 + 10*40 + 40*300},
		{"both", all, usage.Tokens{Input: 100, Output: 50, Audio: part(30, 0, 20), Image: part(40, 0, 10)}, 30*10 + 30*100 + 40*20 + 20*40 + 20*400 + 10*300},
		{"cached, of each", all, usage.Tokens{Input: 100, Cached: 60, Audio: part(30, 20, 0), Image: part(40, 10, 0)}, 30*1 + 10*100 + 20*5 + 30*20 + 10*2},
		{"cached, of what is not said", all, usage.Tokens{Input: 100, Cached: 40, Audio: part(60, 0, 0)}, 40*1 + 60*100},
		{"cached, more than the text", all, usage.Tokens{Input: 100, Cached: 55, Audio: part(60, 0, 0)}, 40*1 + 45*100 + 15*5},
		{"cached, all of it", all, usage.Tokens{Input: 100, Cached: 100, Audio: part(60, 0, 0), Image: part(30, 0, 0)}, 10*1 + 60*5 + 30*2},
		{"thought, beside what was said", all, usage.Tokens{Output: 50, Reasoning: 10, Audio: part(0, 0, 40)}, 10*50 + 40*400},
		{"thought, more than there is of text", all, usage.Tokens{Output: 50, Reasoning: 20, Audio: part(0, 0, 40)}, 10*50 + 40*400},
		{"as text", usage.Price{Input: 10, Cached: 1, Output: 40}, usage.Tokens{Input: 100, Cached: 60, Output: 50, Audio: part(80, 50, 40), Image: part(10, 5, 5)}, 40*10 + 60*1 + 50*40},
		{"cached as text", usage.Price{Input: 10, Cached: 1, Audio: usage.Rates{Input: 100}}, usage.Tokens{Input: 100, Cached: 50, Audio: part(100, 50, 0)}, 50*100 + 50*1},
		{"cached as what is not", usage.Price{Input: 10, Audio: usage.Rates{Input: 100}}, usage.Tokens{Input: 100, Cached: 50, Audio: part(100, 50, 0)}, 100 * 100},
		{"below nothing", usage.Price{Input: 10, Output: 40, Audio: usage.Rates{Input: -1, Cached: -1, Output: -1}}, usage.Tokens{Input: 100, Output: 50, Audio: part(60, 10, 40)}, 40*10 + 10*40},
		{"long, as text", usage.Price{Input: 10, Long: 10, LongInput: 20}, usage.Tokens{Input: 100, Audio: part(60, 0, 0)}, 2000},
		{"long, at its own", usage.Price{Input: 10, Audio: usage.Rates{Input: 100}, Long: 10, LongInput: 20}, usage.Tokens{Input: 100, Audio: part(60, 0, 0)}, 800 + 6000},
		{"more sound than there is", all, usage.Tokens{Input: 100, Output: 50, Audio: part(1000, 1000, 1000)}, 100*100 + 50*400},
		{"more of both than there is", all, usage.Tokens{Input: 100, Output: 50, Audio: part(80, 0, 40), Image: part(80, 0, 40)}, 80*100 + 20*20 + 40*400 + 10*300},
		{"less than nothing", all, usage.Tokens{Input: 100, Output: 50, Audio: part(-5, -5, -5), Image: part(math.MinInt64, math.MinInt64, math.MinInt64)}, 1000 + 2000},
		{"of nothing", all, usage.Tokens{Audio: part(5, 5, 5), Image: part(5, 5, 5)}, 0},
		{"more than there is, by sound", usage.Price{Audio: usage.Rates{Input: 2}}, usage.Tokens{Input: math.MaxInt64, Audio: part(math.MaxInt64, 0, 0)}, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.price.Cost(tt.used); got != tt.want {
				t.Errorf("Cost(%+v) = %d, want %d", tt.used, got, tt.want)
			}
		})
	}
}

// TestCostAllocatesNothing is not parallel: it counts what is allocated.
func TestCostAllocatesNothing(t *testing.T) {
	p, ok := usage.PriceOf("gpt-realtime")
	used := usage.Tokens{Input: 100, Cached: 60, Output: 50, Audio: usage.Part{Input: 40, Cached: 10, Output: 30}}
	if n := testing.AllocsPerRun(100, func() { p.Cost(used) }); n != 0 || !ok {
		t.Errorf("Cost allocates %v times", n)
	}
}

// TestMost holds what a request costs at most, of which nobody knows yet what will be
// cached or thought.
func TestMost(t *testing.T) {
	t.Parallel()
	p := usage.Price{
		Input: 10, Cached: 1, Output: 40, Audio: usage.Rates{Input: 100, Output: 400}, Image: usage.Rates{Input: 20, Output: 300},
	}
	tests := []struct {
		name  string
		price usage.Price
		kinds usage.Kinds
		want  usage.USD
	}{
		{"text", p, usage.Kinds{}, 100*10 + 10*40},
		{"hears", p, usage.Kinds{AudioInput: true}, 100*100 + 10*40},
		{"speaks", p, usage.Kinds{AudioOutput: true}, 100*10 + 10*400},
		{"sees", p, usage.Kinds{ImageInput: true}, 100*20 + 10*40},
		{"draws", p, usage.Kinds{ImageOutput: true}, 100*10 + 10*300},
		{"anything", p, usage.Kinds{AudioInput: true, ImageInput: true, AudioOutput: true, ImageOutput: true}, 100*100 + 10*400},
		{"sound that is cheaper", usage.Price{Input: 10, Output: 40, Audio: usage.Rates{Input: 5, Output: -1}}, usage.Kinds{AudioInput: true, AudioOutput: true}, 100*10 + 10*40},
		{"a dear cache", usage.Price{Input: 10, Cached: 12}, usage.Kinds{}, 1200},
		{"dear thoughts", usage.Price{Output: 40, Reasoning: 50}, usage.Kinds{}, 500},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.price.Most(100, 10, tt.kinds); got != tt.want {
				t.Errorf("Most(100, 10, %+v) = %d, want %d", tt.kinds, got, tt.want)
			}
		})
	}
	for price, want := range map[usage.Price]bool{
		p: true, {}: false, {Input: 10, Cached: 1, Output: 40}: false, {Input: 1, Audio: usage.Rates{Input: 1}}: false,
		{Input: 1, Image: usage.Rates{Output: 1}}: true, {Audio: usage.Rates{Input: -1, Cached: -1, Output: -1}}: false,
	} {
		if got := price.Parted(); got != want {
			t.Errorf("Parted of %+v is %t", price, got)
		}
	}
}

// anyPrice draws a price of which every part may be said or not.
func anyPrice(t *rapid.T) usage.Price {
	var p usage.Price
	for _, field := range []*usage.USD{
		&p.Input, &p.Cached, &p.Output, &p.Reasoning, &p.LongInput, &p.LongCached, &p.LongOutput,
		&p.Audio.Input, &p.Audio.Cached, &p.Audio.Output, &p.Image.Input, &p.Image.Cached, &p.Image.Output,
	} {
		*field = usage.USD(rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(-1, 100_000)).Draw(t, "price"))
	}
	p.Long = rapid.SampledFrom([]int64{0, 1000}).Draw(t, "long")
	return p
}

// TestNothingCostsMoreThanMost holds that whatever upstream says of what tokens are,
// they cost no more than was thought, by either of two prices nor by the higher.
func TestNothingCostsMoreThanMost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, q := anyPrice(t), anyPrice(t)
		count := rapid.OneOf(rapid.Int64Range(-5, 5000), rapid.Int64())
		used := usage.Tokens{Input: rapid.Int64Range(0, 5000).Draw(t, "input"), Output: rapid.Int64Range(0, 5000).Draw(t, "output")}
		for _, n := range []*int64{
			&used.Cached, &used.Reasoning, &used.Audio.Input, &used.Audio.Cached, &used.Audio.Output, &used.Image.Input, &used.Image.Cached, &used.Image.Output,
		} {
			*n = count.Draw(t, "part")
		}
		cost := p.Cost(used)
		k := usage.Kinds{AudioInput: used.Audio.Input > 0, ImageInput: used.Image.Input > 0, AudioOutput: used.Audio.Output > 0, ImageOutput: used.Image.Output > 0}
		if most := p.Most(used.Input, used.Output, k); cost < 0 || cost > most {
			t.Fatalf("%+v charges %d for %+v, and at most %d", p, cost, used, most)
		}
		if most := p.Max(q).Cost(used); cost > most {
			t.Fatalf("%+v charges %d for %+v, and the higher of it and %+v %d", p, cost, used, q, most)
		}
	})
}

// TestPriceSound holds what sound costs that is heard.
func TestPriceSound(t *testing.T) {
	t.Parallel()
	whisper, ok := usage.PriceOf("whisper")
	if !ok {
		t.Fatal("the price of whisper is not known")
	}
	tests := []struct {
		name   string
		price  usage.Price
		length time.Duration
		want   usage.USD
	}{
		{"a minute", whisper, time.Minute, usage.Dollar * 6 / 1000},
		{"half a second", whisper, 500 * time.Millisecond, usage.Dollar / 20_000},
		{"nothing", whisper, 0, 0},
		{"below nothing", whisper, -time.Second, 0},
		{"not paid for", usage.Price{Input: 1}, time.Hour, 0},
		{"a price below nothing", usage.Price{Second: -1}, time.Hour, 0},
		{"the dearer of two", usage.Price{Second: 2}.Max(usage.Price{Second: 3}), time.Second, 3},
		{"more than there is", usage.Price{Second: math.MaxInt64}, time.Minute + 1, math.MaxInt64},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.price.Sound(tt.length); got != tt.want {
				t.Errorf("Sound(%v) = %d, want %d", tt.length, got, tt.want)
			}
		})
	}
	if got := usage.USD(math.MaxInt64 - 1).Plus(2); got != math.MaxInt64 {
		t.Errorf("the most and more is %d", got)
	}
}

// TestCostOfAnything holds that a cost is never negative and grows with the tokens,
// also where numbers end.
func TestCostOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := usage.Price{}
		for _, field := range []*usage.USD{&p.Input, &p.Cached, &p.Output, &p.Reasoning} {
			*field = usage.USD(rapid.OneOf(rapid.Int64Range(0, 100_000), rapid.Int64()).Draw(t, "price"))
		}
		if rapid.Bool().Draw(t, "has long prompts") {
			p.Long = rapid.Int64Range(1, 1_000_000).Draw(t, "long")
			grown := func(u usage.USD) usage.USD { return u + min(max(0, u), math.MaxInt64-max(0, u)) }
			p.LongInput, p.LongCached, p.LongOutput = grown(p.Input), grown(p.Cached), grown(max(p.Output, p.Reasoning))
		}
		count := rapid.OneOf(rapid.Int64Range(0, 1_000_000), rapid.Int64())
		input, cached := count.Draw(t, "input"), count.Draw(t, "cached")
		output, reasoning := count.Draw(t, "output"), count.Draw(t, "reasoning")
		cost := p.Cost(usage.Tokens{Input: input, Cached: cached, Output: output, Reasoning: reasoning})
		if cost < 0 {
			t.Fatalf("%+v charges %d", p, cost)
		}
		more := rapid.Int64Range(0, 1_000_000)
		// What is cached or thought stays a part of the whole.
		wider := min(max(0, input), math.MaxInt64-1_000_000) + more.Draw(t, "more input")
		longer := min(max(0, output), math.MaxInt64-1_000_000) + more.Draw(t, "more output")
		if got := p.Cost(usage.Tokens{Input: max(input, wider), Cached: min(cached, max(0, input)), Output: max(output, longer), Reasoning: min(reasoning, max(0, output))}); got < cost {
			t.Fatalf("%+v charges %d for more and %d for less", p, got, cost)
		}
	})
}

// TestCostAddsUp holds that two requests cost what one of all their tokens does, to
// the billionth of a dollar.
func TestCostAddsUp(t *testing.T) {
	t.Parallel()
	price := rapid.Int64Range(0, 1_000_000)
	count := rapid.Int64Range(0, 10_000_000)
	rapid.Check(t, func(t *rapid.T) {
		p := usage.Price{
			Input: usage.USD(price.Draw(t, "input")), Cached: usage.USD(price.Draw(t, "cached")),
			Output: usage.USD(price.Draw(t, "output")), Reasoning: usage.USD(price.Draw(t, "reasoning")),
		}
		var sum [4]int64
		var apart usage.USD
		for range 2 {
			input, output := count.Draw(t, "input"), count.Draw(t, "output")
			cached, reasoning := rapid.Int64Range(0, input).Draw(t, "cached"), rapid.Int64Range(0, output).Draw(t, "reasoning")
			apart += p.Cost(usage.Tokens{Input: input, Cached: cached, Output: output, Reasoning: reasoning})
			for i, n := range []int64{input, cached, output, reasoning} {
				sum[i] += n
			}
		}
		if together := p.Cost(usage.Tokens{Input: sum[0], Cached: sum[1], Output: sum[2], Reasoning: sum[3]}); together != apart {
			t.Fatalf("together %d, apart %d", together, apart)
		}
	})
}

// TestPriceOf holds which names the table knows, and what it says of them.
func TestPriceOf(t *testing.T) {
	t.Parallel()
	mini := usage.Price{Input: 150, Cached: 75, Output: 600}
	older := usage.Price{Input: 500, Output: 1500}
	tests := []struct {
		name, model string
		want        usage.Price
		unknown     bool
	}{
		{name: "a model", model: "gpt-4o-mini", want: mini},
		{name: "a version of it", model: "gpt-4o-mini-2024-07-18", want: mini},
		{name: "in capitals, with blanks", model: " GPT-4o-Mini ", want: mini},
		{name: "with its vendor", model: "openai/gpt-4o-mini", want: mini},
		{name: "the longer prefix", model: "gpt-4o-2024-05-13", want: usage.Price{Input: 5000, Output: 15_000}},
		{name: "a version of its own price", model: "gpt-4-1106-preview", want: usage.Price{Input: 10_000, Output: 30_000}},
		{name: "a version of another model's price", model: "gpt-4-0613", want: usage.Price{Input: 30_000, Output: 60_000}},
		{name: "the latest", model: "gpt-5.2-chat-latest", want: usage.Price{Input: 1750, Cached: 175, Output: 14_000}},
		{name: "Azure's spelling", model: "gpt-35-turbo", want: older},
		{name: "Azure's spelling of a version", model: "gpt-35-turbo-0125", want: older},
		{name: "a price for long prompts", model: "gpt-5.4-2026-03-05", want: usage.Price{
			Input: 2500, Cached: 250, Output: 15_000, Long: 272_000, LongInput: 5000, LongCached: 500, LongOutput: 22_500,
		}},
		{name: "part of a billionth", model: "text-embedding-3-large", want: usage.Price{Input: 143}},
		{name: "nothing", model: "", unknown: true},
		{name: "another's", model: "mistral-large", unknown: true},
		{name: "a variant that nobody has priced", model: "gpt-5-deluxe", unknown: true},
		{name: "a variant with a version", model: "gpt-4o-telepathic-preview-2024-12-17", unknown: true},
		{name: "sound apart", model: "gpt-4o-realtime-preview-2024-12-17", want: usage.Price{
			Input: 5000, Cached: 2500, Output: 20_000, Audio: usage.Rates{Input: 40_000, Output: 80_000},
		}},
		{name: "sound and images apart", model: "gpt-realtime-2025-08-28", want: usage.Price{
			Input: 4000, Cached: 400, Output: 16_000,
			Audio: usage.Rates{Input: 32_000, Cached: 400, Output: 64_000}, Image: usage.Rates{Input: 5000, Cached: 500},
		}},
		{name: "drawings apart", model: "gpt-image-1-mini", want: usage.Price{
			Input: 2000, Cached: 200, Image: usage.Rates{Input: 2500, Cached: 250, Output: 8000},
		}},
		{name: "speech from text", model: "gpt-4o-mini-tts", want: usage.Price{Input: 600, Output: 10_000, Audio: usage.Rates{Output: 12_000}}},
		{name: "speech by its letters", model: "tts-1-hd", unknown: true},
		{name: "images by their number", model: "dall-e-3", unknown: true},
		{name: "a size is no version", model: "gpt-4-64k", unknown: true},
		{name: "a number is no version", model: "gpt-4-1", unknown: true},
		{name: "a longer word", model: "gpt-4omni", unknown: true},
		{name: "a version to come", model: "gpt-5.9", unknown: true},
		{name: "fine-tuned", model: "ft:gpt-4o-mini-2024-07-18:org::id", unknown: true},
		{name: "fine-tuned, as Azure writes it", model: "gpt-4o-mini-2024-07-18.ft-0123456789abcdef", unknown: true},
		{name: "the router's is its choice's", model: "model-router", unknown: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := usage.PriceOf(tt.model)
			if ok == tt.unknown {
				t.Errorf("PriceOf(%q) is known: %t, want %t", tt.model, ok, !tt.unknown)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("PriceOf(%q) (-want +got):\n%s", tt.model, diff)
			}
		})
	}
}

// TestEveryModelHasAPrice holds the prices beside the table of models: whatever can
// be counted can be charged, or else is named here.
func TestEveryModelHasAPrice(t *testing.T) {
	t.Parallel()
	unpriced := map[string]string{
		"gpt-5.":       "versions to come",
		"gpt-oss":      "a family; its sizes have prices",
		"model-router": "costs what it chooses",
	}
	for _, m := range tokens.Models() {
		p, ok := usage.PriceOf(m.Prefix)
		why := unpriced[m.Prefix]
		switch {
		case ok == (why != ""):
			t.Errorf("%s has a price: %t, and is said to have none because %q", m.Prefix, ok, why)
		case !ok:
		case p.Input <= 0, p.Cached < 0, p.Cached > p.Input, p.LongInput < 0, m.Embedding == (p.Output > 0):
			t.Errorf("%s costs %+v", m.Prefix, p)
		}
	}
}
