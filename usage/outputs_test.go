package usage_test

import (
	"context"
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"weir/usage"
)

// answered is the record of a request whose answer nobody bounded.
func answered(tokens int64) *usage.Record {
	return &usage.Record{Team: "search", Model: "gpt-4o", Outcome: usage.OK, FinishReason: "stop", Output: tokens}
}

// learn lets o see n answers of so many tokens.
func learn(ctx context.Context, o *usage.Outputs, n int, tokens int64) {
	for range n {
		o.Take(ctx, answered(tokens))
	}
}

// TestOutputsLearns holds from which requests lengths are learned, and what.
func TestOutputsLearns(t *testing.T) {
	t.Parallel()
	change := func(f func(*usage.Record)) *usage.Record {
		r := answered(100)
		f(r)
		return r
	}
	tests := []struct {
		name   string
		record *usage.Record
		want   int64 // 0: not learned
	}{
		{"an answer", answered(100), 103},
		{"an answer of one token", answered(1), 1},
		{"counted by us", change(func(r *usage.Record) { r.Counted = true }), 103},
		{"cut by the model itself", change(func(r *usage.Record) { r.FinishReason = "length" }), 103},
		{"one choice", change(func(r *usage.Record) { r.Choices = 1 }), 103},
		{"several choices", change(func(r *usage.Record) { r.Choices = 4 }), 25},
		{"several choices of unequal length", change(func(r *usage.Record) { r.Choices = 7 }), 15},
		{"the longest", answered(262_143), 262_143},
		{"longer", answered(math.MaxInt64), 262_143},
		{"bounded", change(func(r *usage.Record) { r.Bound = 4000 }), 0},
		{"bounded, and cut", change(func(r *usage.Record) { r.Bound, r.FinishReason = 100, "length" }), 0},
		{"nothing came", change(func(r *usage.Record) { r.Output = 0 }), 0},
		{"the client hung up", change(func(r *usage.Record) { r.Outcome = usage.ClientGone }), 0},
		{"it broke off", change(func(r *usage.Record) { r.Outcome = usage.UpstreamError }), 0},
		{"it was refused", change(func(r *usage.Record) { r.Outcome = usage.RefusedLimit }), 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var o usage.Outputs
			for range 20 {
				o.Take(t.Context(), tt.record)
			}
			got, ok := o.Quantile("search", "gpt-4o", 0.9)
			if got != tt.want || ok != (tt.want > 0) {
				t.Errorf("Quantile() = %d, %t, want %d", got, ok, tt.want)
			}
		})
	}
}

// TestOutputsWaits holds that few answers tell nothing, and that one pair tells
// nothing of another.
func TestOutputsWaits(t *testing.T) {
	t.Parallel()
	var o usage.Outputs
	if got, ok := o.Quantile("search", "gpt-4o", 0.9); ok {
		t.Errorf("nothing was seen, and Quantile() = %d", got)
	}
	learn(t.Context(), &o, 19, 100)
	if got, ok := o.Quantile("search", "gpt-4o", 0.9); ok {
		t.Errorf("19 were seen, and Quantile() = %d", got)
	}
	learn(t.Context(), &o, 1, 100)
	if got, ok := o.Quantile("search", "gpt-4o", 0.9); got != 103 || !ok {
		t.Errorf("20 were seen, and Quantile() = %d, %t, want 103", got, ok)
	}
	for _, other := range [][2]string{{"search", "gpt-4o-mini"}, {"sales", "gpt-4o"}, {"searchgpt-4o", ""}} {
		if got, ok := o.Quantile(other[0], other[1], 0.9); ok {
			t.Errorf("nothing was seen of %q, and Quantile() = %d", other, got)
		}
	}
}

// TestQuantileIsNear holds a quantile beside the exact one: never below it, and
// above it by less than an eighth.
func TestQuantileIsNear(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		length := rapid.OneOf(rapid.Int64Range(1, 40), rapid.Int64Range(1, 5000), rapid.Int64Range(1, 262_143))
		all := rapid.SliceOfN(length, 20, 511).Draw(t, "lengths")
		var o usage.Outputs
		for _, n := range all {
			o.Take(context.Background(), answered(n))
		}
		slices.Sort(all)
		q := rapid.OneOf(rapid.Float64Range(0, 1), rapid.SampledFrom([]float64{-1, 0, 0.5, 0.9, 0.99, 1, 2})).Draw(t, "q")
		rank := min(max(1, int(math.Ceil(q*float64(len(all))))), len(all))
		exact := all[rank-1]
		got, ok := o.Quantile("search", "gpt-4o", q)
		if !ok || got < exact || 8*(got-exact) >= exact && got != exact {
			t.Fatalf("the quantile %v of %d answers is %d, %t, want %d", q, len(all), got, ok, exact)
		}
	})
}

// TestQuantileSurvivesForgetting holds that where every answer begins to count half,
// each quantile stays where it was, but for two answers in 512: also in a tail
// that is thinner than an answer a bucket.
func TestQuantileSurvivesForgetting(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Int64Range(1, 262_143), 512, 512).Draw(t, "lengths")
		var o usage.Outputs
		for _, n := range all {
			o.Take(context.Background(), answered(n))
		}
		slices.Sort(all)
		q := rapid.Float64Range(0, 1).Draw(t, "q")
		rank := max(1, int(math.Ceil(q*512)))
		low, high := all[rank-1], all[min(rank+2, 512)-1]
		got, ok := o.Quantile("search", "gpt-4o", q)
		if !ok || got < low || 8*(got-high) >= high {
			t.Fatalf("the quantile %v is %d, %t, want %d to %d", q, got, ok, low, high)
		}
	})
}

// TestOutputsForgets holds how soon a quantile follows a team that changes.
func TestOutputsForgets(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		old, new int64
		within   int // answers
	}{
		{"to longer answers", 100, 1000, 60},
		{"to shorter answers", 1000, 100, 900},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var o usage.Outputs
			learn(t.Context(), &o, 5000, tt.old)
			for n := range tt.within {
				if got, _ := o.Quantile("search", "gpt-4o", 0.9); got/8*7 <= tt.new && got >= tt.new {
					t.Logf("after %d answers", n)
					return
				}
				learn(t.Context(), &o, 1, tt.new)
			}
			got, _ := o.Quantile("search", "gpt-4o", 0.9)
			t.Errorf("after %d answers of %d tokens the quantile is %d", tt.within, tt.new, got)
		})
	}
}

// TestOutputsIsBounded holds that the pairs used last are kept, 4,096 of them.
func TestOutputsIsBounded(t *testing.T) {
	t.Parallel()
	const most = 4096
	var o usage.Outputs
	take := func(model int) {
		r := answered(100)
		r.Model = strconv.Itoa(model)
		for range 20 {
			o.Take(t.Context(), r)
		}
	}
	known := func(model int) bool {
		_, ok := o.Quantile("search", strconv.Itoa(model), 0.9)
		return ok
	}
	for model := range most {
		take(model)
	}
	if !known(0) {
		t.Fatal("the first of 4,096 pairs is forgotten")
	}
	take(most) // 1 is now the one that was not used for longest
	if known(1) || !known(0) || !known(2) || !known(most) {
		t.Errorf("of 4,097 pairs known are 1: %t, 0: %t, 2: %t, the last: %t; want all but 1", known(1), known(0), known(2), known(most))
	}
	for model := range 3 * most {
		take(most + 1 + model)
	}
	count := 0
	for model := range 5 * most {
		if known(model) {
			count++
		}
	}
	if count != most {
		t.Errorf("%d pairs are known, want %d", count, most)
	}
}

// TestOutputsTogether holds that nothing is lost where many learn and ask at once.
func TestOutputsTogether(t *testing.T) {
	t.Parallel()
	var o usage.Outputs
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			r := answered(100)
			r.Model = strconv.Itoa(i % 2)
			for range 100 {
				o.Take(t.Context(), r)
				if got, ok := o.Quantile("search", r.Model, 0.9); ok && got != 103 {
					t.Errorf("Quantile() = %d, want 103", got)
				}
			}
		})
	}
	group.Wait()
	for _, model := range []string{"0", "1"} {
		if got, ok := o.Quantile("search", model, 1); got != 103 || !ok {
			t.Errorf("Quantile(%s) = %d, %t, want 103", model, got, ok)
		}
	}
}

// TestOutputsAllocatesNothing holds that to learn and to ask costs no memory.
func TestOutputsAllocatesNothing(t *testing.T) {
	var o usage.Outputs
	r := answered(100)
	learn(t.Context(), &o, 20, 100)
	ctx := t.Context()
	if n := testing.AllocsPerRun(1000, func() {
		o.Take(ctx, r)
		o.Quantile(r.Team, r.Model, 0.9)
	}); n > 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

// BenchmarkOutputs measures what a request costs: to ask before it, and to learn
// after it, from one goroutine and from as many as there are processors.
func BenchmarkOutputs(b *testing.B) {
	request := func(o *usage.Outputs, r *usage.Record, tokens int64) {
		r.Output = tokens
		o.Quantile(r.Team, r.Model, 0.9)
		o.Take(context.Background(), r)
	}
	b.Run("one", func(b *testing.B) {
		var o usage.Outputs
		r := answered(1)
		b.ReportAllocs()
		for n := int64(1); b.Loop(); n++ {
			request(&o, r, n%4096)
		}
	})
	b.Run("all", func(b *testing.B) {
		var o usage.Outputs
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			r := answered(1)
			for n := int64(1); pb.Next(); n++ {
				request(&o, r, n%4096)
			}
		})
	})
}
