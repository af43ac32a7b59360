package dashboard_test

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/dashboard"
	"weir/usage"
)

// TestClockIsPutBack: what a clock that was ahead has left behind keeps nothing of
// now from being shown.
func TestClockIsPutBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dashboard.New(dashboard.Config{
			Began:       time.Now(),
			Teams:       func(context) []dashboard.Team { return []dashboard.Team{{Name: "search"}} },
			Deployments: func() []dashboard.Deployment { return []dashboard.Deployment{{Name: "east/gpt-4o"}} },
		})
		for ahead := 24 * time.Hour; ahead < 26*time.Hour; ahead += 10 * time.Second {
			d.Take(t.Context(), ended(func(r *usage.Record) { r.Start = r.Start.Add(ahead) }))
		}
		for range 5 {
			time.Sleep(time.Second)
			d.Take(t.Context(), ended(nil))
		}
		s := read[dashboard.Stats](t, d, "/admin/v1/stats")
		if s.Rates.Requests == 0 || s.Teams[0].Served != 5 || s.Deployments[0].Attempts != 5 {
			t.Errorf("after a day's step of the clock it tells %+v, %d of 5 requests and %d of 5 attempts", s.Rates, s.Teams[0].Served, s.Deployments[0].Attempts)
		}
	})
}

// TestPlottedTeams: the busiest have a line in the plot, and nobody has who used
// nothing: least of all who came without a key and has no name.
func TestPlottedTeams(t *testing.T) {
	t.Parallel()
	d := dashboard.New(dashboard.Config{})
	use := func(team string, tokens int64) {
		d.Take(t.Context(), ended(func(r *usage.Record) { r.Team, r.Input, r.Output = team, tokens, 0 }))
	}
	use("", 0)
	use("refused", 0)
	use("busy", 100)
	use("", 0)
	got := slices.Sorted(maps.Keys(read[dashboard.Stats](t, d, "/admin/v1/stats?series=1").Series.Tokens))
	if diff := cmp.Diff([]string{"busy"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i := range 9 {
		use(string(rune('a'+i)), int64(i+1))
	}
	got = slices.Sorted(maps.Keys(read[dashboard.Stats](t, d, "/admin/v1/stats?series=1").Series.Tokens))
	if diff := cmp.Diff([]string{"busy", "e", "f", "g", "h", "i"}, got); diff != "" {
		t.Errorf("of ten (-want +got):\n%s", diff)
	}
}

// TestFirstMinute: a team that called once as soon as the gateway ran is not said to
// call sixty times a minute.
func TestFirstMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dashboard.New(dashboard.Config{
			Began: time.Now(), Teams: func(context) []dashboard.Team { return []dashboard.Team{{Name: "search"}} },
		})
		time.Sleep(time.Second)
		d.Take(t.Context(), ended(nil))
		if team := read[dashboard.Stats](t, d, "/admin/v1/stats").Teams[0]; team.Requests > 1 || team.Requests < 0.8 || team.Tokens > 30 {
			t.Errorf("one request of 30 tokens is %v requests and %v tokens a minute", team.Requests, team.Tokens)
		}
	})
}
