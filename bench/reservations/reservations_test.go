package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestMeter holds what is beyond a limit of 600 tokens a minute, which is one each
// tick, and what is idle.
func TestMeter(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		requests []request
		refused  []time.Duration
		want     result
	}{
		{"nothing", nil, nil, result{}},
		{"the burst", []request{{prompt: 600}}, nil, result{admitted: 1, used: 600}},
		{"more than the burst", []request{{prompt: 660}}, nil, result{admitted: 1, used: 660, worst: 0.1, excess: 60}},
		{"more while in debt", []request{{prompt: 660}, {at: 100 * time.Millisecond, prompt: 10}, {at: 200 * time.Millisecond, prompt: 5}}, nil, result{admitted: 3, used: 675, worst: 73.0 / 600, excess: 60 + 10 + 5}},
		{"more than is in debt", []request{{prompt: 600}, {at: time.Second, prompt: 50}}, nil, result{admitted: 2, used: 650, worst: 40.0 / 600, excess: 40}},
		{"more than the burst, that flowed in", []request{{prompt: 600}, {at: 6 * time.Second, prompt: 60}}, nil, result{admitted: 2, used: 660}},
		{"refused without need", []request{{prompt: 100}}, []time.Duration{59 * time.Second}, result{admitted: 1, refused: 1, used: 100, scarce: 600, idle: 500}},
		{"refused in need", []request{{prompt: 600}}, []time.Duration{time.Second, 2 * time.Second}, result{admitted: 1, refused: 2, used: 600, scarce: 600}},
		{"refused in each minute", nil, []time.Duration{0, time.Minute}, result{refused: 2, scarce: 1200, idle: 1200}},
		{"an answer is used as it is written", []request{{prompt: 600, output: 7, at: 0}}, nil, result{admitted: 1, used: 607}},
		{"an answer that the trace is too short for", []request{{at: 119200 * time.Millisecond, output: 70}}, nil, result{admitted: 1, used: 32}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMeter(600, time.Minute)
			for _, r := range tt.requests {
				m.admit(r)
			}
			for _, at := range tt.refused {
				m.refuse(at)
			}
			got := m.result()
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(result{})); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
		})
	}
}

// TestTrace holds that the trace is the same each time, in order, and within its
// bounds.
func TestTrace(t *testing.T) {
	t.Parallel()
	const length = time.Hour
	all := trace(teams(), length)
	if diff := cmp.Diff(all, trace(teams(), length), cmp.AllowUnexported(request{})); diff != "" {
		t.Fatalf("two traces differ:\n%s", diff)
	}
	before, bounded, cut := time.Duration(0), 0, 0
	for _, r := range all {
		if r.at < before || r.at > length || r.prompt < 1 || r.output < 1 || r.output > modelOutput {
			t.Fatalf("%+v after %v", r, before)
		}
		before = r.at
		if r.bound > 0 {
			bounded++
		}
		if r.used() < r.output {
			cut++
		}
	}
	if n := len(all); n < 10_000 || bounded < n/10 || bounded > n/2 || cut == 0 || cut > bounded/5 {
		t.Errorf("of %d requests %d name a bound, which cuts %d", len(all), bounded, cut)
	}
}

// TestStrategies holds what the tables are printed for: what is learned passes the
// limit less than a flat reserve or none, wastes less than the most that may come, and
// is near to what could be had by knowing.
func TestStrategies(t *testing.T) {
	t.Parallel()
	const length = time.Hour
	teams := teams()
	all := trace(teams, length)
	var got []result
	for _, s := range strategies() {
		each, err := replay(t.Context(), s, teams, all, length)
		if err != nil {
			t.Fatal(err)
		}
		r := together(each)
		if r.admitted+r.refused != len(all) {
			t.Errorf("%s: %d admitted and %d refused, of %d", s.name, r.admitted, r.refused, len(all))
		}
		got = append(got, r)
	}
	learned, flat, full, after, known := got[0], got[1], got[2], got[3], got[4]
	if learned.excess*2 > flat.excess || learned.excess*2 > after.excess {
		t.Errorf("beyond the limit: learned %d, flat %d, afterwards %d", learned.excess, flat.excess, after.excess)
	}
	if learned.worst*2 > flat.worst || learned.worst*2 > after.worst {
		t.Errorf("beyond the limit at worst: learned %v, flat %v, afterwards %v", learned.worst, flat.worst, after.worst)
	}
	if 2*share(learned.idle, learned.scarce) > share(full.idle, full.scarce) || learned.admitted <= full.admitted {
		t.Errorf("learned wastes %d of %d and admits %d, in full %d of %d and %d", learned.idle, learned.scarce, learned.admitted, full.idle, full.scarce, full.admitted)
	}
	if learned.admitted*100 < known.admitted*95 {
		t.Errorf("learned admits %d, known %d", learned.admitted, known.admitted)
	}
}

// TestReport holds that every strategy has a line for every team.
func TestReport(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := report(t.Context(), &out, 10*time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, s := range strategies() {
		if n := bytes.Count(out.Bytes(), []byte(s.name+" ")); n != len(teams())+1 {
			t.Errorf("%q is in %d tables, want %d:\n%s", s.name, n, len(teams())+1, out.String())
		}
	}
}
