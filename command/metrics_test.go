package command

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"weir/openai"
)

// TestCodesAreComplete holds the list of codes to the constants.
func TestCodesAreComplete(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(codes(t), slices.Sorted(slices.Values(openai.Codes()))); diff != "" {
		t.Errorf("Codes (-constants +listed):\n%s", diff)
	}
}

// TestStoreIsMeasured holds that the round trips to Redis are measured, those that
// come to nothing too.
func TestStoreIsMeasured(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	_, azure := newAzure(t)
	r := newReplica(t, sharing(azure, s.url(), "replicas: 1"+steady, `teams: { search: { limits: { rpm: 1000 }, keys: [{ id: one, value: "a-key-of-the-team-search" }] } }`))
	measured := func(series string) func() bool {
		return func() bool {
			_, text := get(t, r.admin+"/metrics")
			for line := range strings.Lines(text) {
				if rest, ok := strings.CutPrefix(line, series+" "); ok {
					return strings.TrimSpace(rest) != "0"
				}
			}
			return false
		}
	}
	if got := r.ask(t, "a-key-of-the-team-search"); got.status != http.StatusOK {
		t.Fatalf("answered %d: %s", got.status, got.body)
	}
	for _, op := range []string{"reserve", "settle"} {
		until(t, "a trip to "+op+" is measured", measured(`weir_limit_store_duration_seconds_count{op="`+op+`"}`))
	}
	s.kill()
	r.ask(t, "a-key-of-the-team-search")
	until(t, "a trip that fails is counted", measured(`weir_limit_store_errors_total{op="reserve"}`))
}
