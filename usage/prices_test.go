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
			if got := tt.price.Cost(tt.input, tt.cached, tt.output, tt.reasoning); got != tt.want {
				t.Errorf("Cost(%d, %d, %d, %d) = %d, want %d", tt.input, tt.cached, tt.output, tt.reasoning, got, tt.want)
			}
		})
	}
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
		cost := p.Cost(input, cached, output, reasoning)
		if cost < 0 {
			t.Fatalf("%+v charges %d", p, cost)
		}
		more := rapid.Int64Range(0, 1_000_000)
		// What is cached or thought stays a part of the whole.
		wider := min(max(0, input), math.MaxInt64-1_000_000) + more.Draw(t, "more input")
		longer := min(max(0, output), math.MaxInt64-1_000_000) + more.Draw(t, "more output")
		if got := p.Cost(max(input, wider), min(cached, max(0, input)), max(output, longer), min(reasoning, max(0, output))); got < cost {
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
			apart += p.Cost(input, cached, output, reasoning)
			for i, n := range []int64{input, cached, output, reasoning} {
				sum[i] += n
			}
		}
		if together := p.Cost(sum[0], sum[1], sum[2], sum[3]); together != apart {
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
		{name: "a variant with a version", model: "gpt-4o-realtime-preview-2024-12-17", unknown: true},
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
