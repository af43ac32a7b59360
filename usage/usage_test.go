package usage_test

import (
	"context"
	"math"
	"strconv"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/usage"
)

// TestContext holds how a record goes with its request.
func TestContext(t *testing.T) {
	t.Parallel()
	r := &usage.Record{}
	ctx := usage.With(t.Context(), r)
	if got := usage.From(context.WithoutCancel(ctx)); got != r {
		t.Errorf("From returns another record than With was given")
	}
	other := usage.From(t.Context())
	if other == nil || other == r || other == usage.From(t.Context()) {
		t.Errorf("without a record From returns %p, want one of nobody's", other)
	}
}

// TestEstimateError holds which requests tell how well we count, and what.
func TestEstimateError(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		record usage.Record
		want   float64
		ok     bool
	}{
		{"exact", usage.Record{EstimatedInput: 100, Input: 100}, 0, true},
		{"above", usage.Record{EstimatedInput: 110, Input: 100}, 0.1, true},
		{"below", usage.Record{EstimatedInput: 50, Input: 100}, -0.5, true},
		{"counted by us", usage.Record{EstimatedInput: 100, Input: 100, Counted: true}, 0, false},
		{"not reported", usage.Record{EstimatedInput: 100}, 0, false},
		{"not counted", usage.Record{Input: 100}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got, ok := tt.record.EstimateError(); math.Abs(got-tt.want) > 1e-12 || ok != tt.ok {
				t.Errorf("EstimateError() = %v, %t, want %v, %t", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// TestCalibrations holds what requests say of how well we count.
func TestCalibrations(t *testing.T) {
	t.Parallel()
	var c usage.Calibrations
	if got := c.All(); len(got) != 0 {
		t.Errorf("nothing counted holds %v", got)
	}
	for _, r := range []usage.Record{
		{Model: "b", EstimatedInput: 100, Input: 100},
		{Model: "b", EstimatedInput: 150, Input: 200},
		{Model: "b", EstimatedInput: 225, Input: 200},
		{Model: "b", EstimatedInput: 1},
		{Model: "a", EstimatedInput: 10, Input: 8},
	} {
		c.Take(t.Context(), &r)
	}
	want := []usage.Calibration{
		{Model: "a", Requests: 1, Counted: 10, Reported: 8, Mean: 0.25, Worst: 0.25},
		{Model: "b", Requests: 3, Counted: 475, Reported: 500, Mean: -0.125 / 3, Worst: -0.25, Exact: 1},
	}
	near := cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-12 })
	if diff := cmp.Diff(want, c.All(), near); diff != "" {
		t.Errorf("All (-want +got):\n%s", diff)
	}
}

// TestCalibrationsAreBounded holds that names that clients make up do not make it grow,
// however many of them book at once.
func TestCalibrationsAreBounded(t *testing.T) {
	t.Parallel()
	var c usage.Calibrations
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for n := range 200 {
				c.Take(t.Context(), &usage.Record{Model: strconv.Itoa(i*200 + n), EstimatedInput: 1, Input: 1})
			}
		})
	}
	group.Wait()
	all := c.All()
	var requests int64
	for _, m := range all {
		requests += m.Requests
	}
	if len(all) != 257 || requests != 1600 {
		t.Errorf("%d models with %d requests, want 257 with all 1600", len(all), requests)
	}
}
