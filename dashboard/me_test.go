package dashboard_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"weir/dashboard"
	"weir/usage"
)

// TestMe: a holder is told of the key alone, also where that has no name.
func TestMe(t *testing.T) {
	t.Parallel()
	d := dashboard.New(dashboard.Config{})
	for i := range 30 {
		for _, of := range []struct{ team, key string }{{"search", "a"}, {"search", "b"}, {"search", ""}, {"", ""}, {"chat", "a"}} {
			d.Take(t.Context(), ended(func(r *usage.Record) {
				r.Team, r.Key, r.RequestID = of.team, of.key, fmt.Sprintf("%s/%s/%d", of.team, of.key, i)
				r.Outcome, r.Status = usage.UpstreamError, 502
				if i%10 == 0 {
					r.Outcome, r.Status = usage.OK, 200
				}
			}))
		}
	}
	for _, of := range []struct{ team, key string }{{"search", "a"}, {"search", ""}, {"chat", "a"}} {
		me := d.Me(of.team, of.key, time.Now())
		if len(me.Errors) != 20 || me.Hour.Requests != 30 || me.Hour.Failed != 27 || me.Hour.Input != 300 {
			t.Errorf("%v is told of %d errors and %+v", of, len(me.Errors), me.Hour)
		}
		own := fmt.Sprintf("%s/%s/", of.team, of.key)
		for i, r := range me.Errors {
			if !strings.HasPrefix(r.RequestID, own) {
				t.Errorf("%v is told of %s", of, r.RequestID)
			}
			if i > 0 && r.N >= me.Errors[i-1].N {
				t.Errorf("%s does not stand before %s", me.Errors[i-1].RequestID, r.RequestID)
			}
		}
	}
	nobody := d.Me("none", "none", time.Now())
	want := dashboard.Me{Object: "weir.me", Team: "none", Key: "none", Limits: []dashboard.Limit{}, Models: []string{}, Errors: []dashboard.Request{}}
	if diff := cmp.Diff(want, nobody); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := d.Me("search", "a", time.Now().Add(2*time.Hour)).Hour; got.Requests != 0 {
		t.Errorf("two hours later it is told of %+v", got)
	}
}
