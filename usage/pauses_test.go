package usage_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/usage"
)

// TestPauses holds which count a pause is in, at the edges of each.
func TestPauses(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	tests := []struct {
		name   string
		length time.Duration
		at     int
	}{
		{"negative", -ms, 0},
		{"none", 0, 0},
		{"the least", 1, 0},
		{"10 ms", 10 * ms, 0},
		{"more than that", 10*ms + 1, 1},
		{"20 ms", 20 * ms, 1},
		{"more than 20 ms", 20*ms + 1, 2},
		{"40 ms", 40 * ms, 2},
		{"1.28 s", 1280 * ms, 7},
		{"more than 1.28 s", 1280*ms + 1, 8},
		{"81.92 s", 81920 * ms, 13},
		{"more than 81.92 s", 81920*ms + 1, 14},
		{"the most", 1<<63 - 1, 14},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got usage.Pauses
			got.Add(tt.length, 1)
			want := usage.Pauses{Total: 1, Sum: tt.length, Least: tt.length, Most: max(0, tt.length)}
			want.Counts[tt.at] = 1
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("Add(%v) (-want +got):\n%s", tt.length, diff)
			}
		})
	}
}

// TestManyPauses holds what several come to.
func TestManyPauses(t *testing.T) {
	t.Parallel()
	var got usage.Pauses
	got.Add(time.Hour, 0)
	got.Add(time.Second, 1)
	got.Add(0, 3)
	got.Add(2*time.Second, 2)
	want := usage.Pauses{Counts: [15]uint64{0: 3, 7: 1, 8: 2}, Total: 6, Sum: 5 * time.Second, Most: 2 * time.Second}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Add (-want +got):\n%s", diff)
	}
}
