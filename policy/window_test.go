package policy_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"weir/openai"
	"weir/policy"
)

// talk returns a request of messages with these roles, each one token more than
// the one before, and its length. Its tools cost 5.
func talk(t *testing.T, members, roles string) (*openai.Request, policy.Prompt) {
	t.Helper()
	messages := strings.Fields(roles)
	p := policy.Prompt{Total: 5}
	for i, role := range messages {
		messages[i] = fmt.Sprintf(`{"role":%q,"content":"m%d"}`, role, i)
		p.Messages = append(p.Messages, int64(100+i))
		p.Total += int64(100 + i)
	}
	return parse(t, `{`+members+`"messages":[`+strings.Join(messages, ",")+`]}`), p
}

// fitted is what a test looks at of what a window made of a request.
type fitted struct {
	Prompt, Output, Lowered int64
	Set                     string
	Trimmed                 int
	Body                    string // "": as it was
}

const (
	wording1 = "This model's maximum context length is %d tokens. However, your messages resulted in %d tokens. Please reduce the length of the messages."
	wording2 = "This model's maximum context length is %d tokens. However, you requested %d tokens (%d in the messages, %d in the completion). Please reduce the length of the messages or completion."
)

// TestWindowFit holds each bound of a window at its edge, and what becomes of a
// request beyond it.
func TestWindowFit(t *testing.T) {
	t.Parallel()
	const one = "user" // 105 tokens
	tests := []struct {
		name    string
		window  policy.Window
		members string
		roles   string
		want    fitted
		refused refusal
		message string
	}{
		{name: "no bounds", roles: one, want: fitted{Prompt: 105}},
		{name: "no bounds, the client's own", members: `"max_tokens":7,`, roles: one, want: fitted{Prompt: 105, Output: 7}},

		{name: "context, at its edge", window: policy.Window{Context: 106}, roles: one, want: fitted{Prompt: 105}},
		{name: "context, no room for an answer", window: policy.Window{Context: 105}, roles: one, refused: refusal{400, "context_length_exceeded", "messages"}, message: fmt.Sprintf(wording1, 105, 105)},
		{name: "context, prompt alone too long", window: policy.Window{Context: 104}, roles: one, refused: refusal{400, "context_length_exceeded", "messages"}, message: fmt.Sprintf(wording1, 104, 105)},
		{name: "context, with the answer", window: policy.Window{Context: 125}, members: `"max_tokens":20,`, roles: one, want: fitted{Prompt: 105, Output: 20}},
		{name: "context, with one more", window: policy.Window{Context: 125}, members: `"max_tokens":21,`, roles: one, refused: refusal{400, "context_length_exceeded", "messages"}, message: fmt.Sprintf(wording2, 125, 126, 105, 21)},
		{name: "context, with all that can be asked for", window: policy.Window{Context: 125}, members: `"max_tokens":9223372036854775807,`, roles: one, refused: refusal{400, "context_length_exceeded", "messages"}, message: fmt.Sprintf(wording2, 125, int64(math.MaxInt64), 105, int64(math.MaxInt64))},

		{name: "model's input, at its edge", window: policy.Window{Context: 400, MaxInput: 105}, roles: one, want: fitted{Prompt: 105}},
		{name: "model's input, beyond", window: policy.Window{Context: 400, MaxInput: 104}, roles: one, refused: refusal{400, "context_length_exceeded", "messages"}, message: fmt.Sprintf(wording1, 104, 105)},
		{name: "model's input, of no use", window: policy.Window{Context: 100, MaxInput: 200}, roles: one, refused: refusal{400, "context_length_exceeded", "messages"}, message: fmt.Sprintf(wording1, 100, 105)},
		{name: "team's input, at its edge", window: policy.Window{Context: 400, TeamInput: 105}, roles: one, want: fitted{Prompt: 105}},
		{name: "team's input, beyond", window: policy.Window{Context: 400, TeamInput: 104}, roles: one, refused: refusal{400, "context_length_exceeded", "messages"}, message: fmt.Sprintf(wording1, 104, 105) + " The limit is the policy's max_input_tokens."},
		{name: "team's input, alone", window: policy.Window{TeamInput: 104}, roles: one, refused: refusal{400, "context_length_exceeded", "messages"}, message: fmt.Sprintf(wording1, 104, 105) + " The limit is the policy's max_input_tokens."},
		{name: "team's input, wider than the model's", window: policy.Window{MaxInput: 104, TeamInput: 200}, roles: one, refused: refusal{400, "context_length_exceeded", "messages"}, message: fmt.Sprintf(wording1, 104, 105)},

		{name: "model's output, at its edge", window: policy.Window{MaxOutput: 20}, members: `"max_tokens":20,`, roles: one, want: fitted{Prompt: 105, Output: 20}},
		{name: "model's output, beyond", window: policy.Window{MaxOutput: 20}, members: `"max_tokens":21,`, roles: one, refused: refusal{400, "invalid_value", "max_tokens"}, message: "max_tokens is too large: 21. This model supports at most 20 completion tokens, whereas you provided 21."},
		{name: "team's output, at its edge", window: policy.Window{TeamOutput: 20}, members: `"max_tokens":20,`, roles: one, want: fitted{Prompt: 105, Output: 20}},
		{
			name: "team's output, lowered", window: policy.Window{TeamOutput: 20}, members: `"max_tokens": 21,`, roles: one,
			want: fitted{Prompt: 105, Output: 20, Lowered: 20, Body: `{"max_tokens": 20,"messages":[{"role":"user","content":"m0"}]}`},
		},
		{
			name: "team's output, lowered in the field it was in", window: policy.Window{TeamOutput: 20, OutputField: "max_tokens"}, members: `"max_completion_tokens":100,`, roles: one,
			want: fitted{Prompt: 105, Output: 20, Lowered: 20, Body: `{"max_completion_tokens":20,"messages":[{"role":"user","content":"m0"}]}`},
		},
		{name: "team's output, rejected", window: policy.Window{TeamOutput: 20, RejectOutput: true}, members: `"max_completion_tokens":21,`, roles: one, refused: refusal{400, "invalid_value", "max_completion_tokens"}, message: "max_completion_tokens is too large: 21. The policy allows at most 20 completion tokens, whereas you provided 21."},
		{name: "team's output, wider than the model's", window: policy.Window{TeamOutput: 30, MaxOutput: 20}, members: `"max_tokens":40,`, roles: one, refused: refusal{400, "invalid_value", "max_tokens"}, message: "max_tokens is too large: 40. This model supports at most 20 completion tokens, whereas you provided 40."},
		{
			name: "lowered, and then it fits", window: policy.Window{Context: 125, TeamOutput: 20}, members: `"max_tokens":1000,`, roles: one,
			want: fitted{Prompt: 105, Output: 20, Lowered: 20, Body: `{"max_tokens":20,"messages":[{"role":"user","content":"m0"}]}`},
		},

		{
			name: "default", window: policy.Window{DefaultOutput: 50}, roles: one,
			want: fitted{Prompt: 105, Output: 50, Lowered: 50, Set: "max_tokens", Body: `{"max_tokens":50,"messages":[{"role":"user","content":"m0"}]}`},
		},
		{
			name: "default, in the model's field", window: policy.Window{DefaultOutput: 50, OutputField: "max_completion_tokens"}, roles: one,
			want: fitted{Prompt: 105, Output: 50, Lowered: 50, Set: "max_completion_tokens", Body: `{"max_completion_tokens":50,"messages":[{"role":"user","content":"m0"}]}`},
		},
		{
			name: "default, in place of null", window: policy.Window{DefaultOutput: 50}, members: `"max_tokens":null,`, roles: one,
			want: fitted{Prompt: 105, Output: 50, Lowered: 50, Set: "max_tokens", Body: `{"max_tokens":50,"messages":[{"role":"user","content":"m0"}]}`},
		},
		{name: "default, not needed", window: policy.Window{DefaultOutput: 50}, members: `"max_tokens":60,`, roles: one, want: fitted{Prompt: 105, Output: 60}},
		{
			name: "default, wider than the team's", window: policy.Window{DefaultOutput: 50, TeamOutput: 30}, roles: one,
			want: fitted{Prompt: 105, Output: 30, Lowered: 30, Set: "max_tokens", Body: `{"max_tokens":30,"messages":[{"role":"user","content":"m0"}]}`},
		},
		{
			name: "default, wider than the model's", window: policy.Window{DefaultOutput: 50, MaxOutput: 30}, roles: one,
			want: fitted{Prompt: 105, Output: 30, Lowered: 30, Set: "max_tokens", Body: `{"max_tokens":30,"messages":[{"role":"user","content":"m0"}]}`},
		},
		{
			name: "default, wider than the room", window: policy.Window{DefaultOutput: 50, Context: 110}, roles: one,
			want: fitted{Prompt: 105, Output: 5, Lowered: 5, Set: "max_tokens", Body: `{"max_tokens":5,"messages":[{"role":"user","content":"m0"}]}`},
		},

		{name: "turns, at their edge", window: policy.Window{MaxTurns: 2}, roles: "system user assistant user", want: fitted{Prompt: 411}},
		{name: "turns, beyond", window: policy.Window{MaxTurns: 1}, roles: "system user assistant user", refused: refusal{400, "too_many_turns", "messages"}, message: "The conversation has 2 turns, and the policy allows 1. Start a new one, or leave out its oldest turns."},
		{
			name: "turns, trimmed", window: policy.Window{MaxTurns: 1, Trim: true}, roles: "system user assistant user",
			want: fitted{Prompt: 208, Trimmed: 2, Body: `{"messages":[{"role":"system","content":"m0"},{"role":"user","content":"m3"}]}`},
		},
		{name: "trimming, not needed", window: policy.Window{MaxInput: 411, Trim: true}, roles: "system user assistant user", want: fitted{Prompt: 411}},
		{
			name: "trimming, one token too many", window: policy.Window{MaxInput: 410, Trim: true}, roles: "system user assistant user",
			want: fitted{Prompt: 208, Trimmed: 2, Body: `{"messages":[{"role":"system","content":"m0"},{"role":"user","content":"m3"}]}`},
		},
		{
			name: "trimming, as few turns as will do", window: policy.Window{MaxInput: 420, Trim: true}, roles: "user assistant user assistant user",
			want: fitted{Prompt: 314, Trimmed: 2, Body: `{"messages":[{"role":"user","content":"m2"},{"role":"assistant","content":"m3"},{"role":"user","content":"m4"}]}`},
		},
		{
			name: "trimming, for the answer's sake", window: policy.Window{Context: 511, Trim: true}, members: `"max_tokens":200,`, roles: "user assistant user assistant user",
			want: fitted{Prompt: 109, Output: 200, Trimmed: 4, Body: `{"max_tokens":200,"messages":[{"role":"user","content":"m4"}]}`},
		},
		{
			name: "trimming, with room for an answer that has no bound", window: policy.Window{Context: 600, Trim: true}, roles: "user assistant user assistant user",
			want: fitted{Prompt: 314, Trimmed: 2, Body: `{"messages":[{"role":"user","content":"m2"},{"role":"assistant","content":"m3"},{"role":"user","content":"m4"}]}`},
		},
		{
			name: "trimming keeps system and developer messages anywhere", window: policy.Window{MaxTurns: 1, Trim: true}, roles: "user system assistant developer user system",
			want: fitted{Prompt: 5 + 101 + 103 + 104 + 105, Trimmed: 2, Body: `{"messages":[{"role":"system","content":"m1"},{"role":"developer","content":"m3"},{"role":"user","content":"m4"},{"role":"system","content":"m5"}]}`},
		},
		{
			name: "trimming keeps a call with its results", window: policy.Window{MaxTurns: 2, Trim: true}, roles: "user assistant tool" + " tool assistant user assistant tool user",
			want: fitted{Prompt: 5 + 105 + 106 + 107 + 108, Trimmed: 5, Body: `{"messages":[{"role":"user","content":"m5"},{"role":"assistant","content":"m6"},{"role":"tool","content":"m7"},{"role":"user","content":"m8"}]}`},
		},
		{
			name: "trimming keeps the last turn, open calls and all", window: policy.Window{MaxInput: 420, Trim: true}, roles: "user assistant user assistant tool",
			want: fitted{Prompt: 5 + 102 + 103 + 104, Trimmed: 2, Body: `{"messages":[{"role":"user","content":"m2"},{"role":"assistant","content":"m3"},{"role":"tool","content":"m4"}]}`},
		},
		{name: "trimming, and the last turn alone does not fit", window: policy.Window{MaxInput: 106, Trim: true}, roles: "user assistant user", refused: refusal{400, "context_length_exceeded", "messages"}, message: fmt.Sprintf(wording1, 106, 107)},
		{name: "trimming, and there is nothing but instructions", window: policy.Window{MaxInput: 100, Trim: true}, roles: "system", refused: refusal{400, "context_length_exceeded", "messages"}, message: fmt.Sprintf(wording1, 100, 105)},
		{
			name: "users that speak twice make one turn", window: policy.Window{MaxTurns: 1, Trim: true}, roles: "user" + " user assistant user" + " user",
			want: fitted{Prompt: 5 + 103 + 104, Trimmed: 3, Body: `{"messages":[{"role":"user","content":"m3"},{"role":"user","content":"m4"}]}`},
		},
		{
			name: "an assistant that speaks first makes a turn", window: policy.Window{MaxTurns: 1, Trim: true}, roles: "assistant user",
			want: fitted{Prompt: 5 + 101, Trimmed: 1, Body: `{"messages":[{"role":"user","content":"m1"}]}`},
		},
		{
			name: "trimmed, lowered", window: policy.Window{MaxTurns: 1, Trim: true, TeamOutput: 9}, members: `"max_tokens":10,`, roles: "user assistant user",
			want: fitted{Prompt: 107, Output: 9, Lowered: 9, Trimmed: 2, Body: `{"max_tokens":9,"messages":[{"role":"user","content":"m2"}]}`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, p := talk(t, tt.members, tt.roles)
			f, err := tt.window.Fit(r, p)
			kind, message := refused(t, err)
			if diff := cmp.Diff(tt.refused, kind); diff != "" {
				t.Errorf("Fit (-want +got):\n%s", diff)
			}
			if message != tt.message {
				t.Errorf("Fit says %q, want %q", message, tt.message)
			}
			got := fitted{Prompt: f.Prompt, Output: f.Output, Lowered: f.Lowered, Set: f.Set, Trimmed: f.Trimmed}
			if len(f.Edits) > 0 {
				got.Body = string(r.Body(f.Edits...))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Fit (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReserve holds what is set aside for a request.
func TestReserve(t *testing.T) {
	t.Parallel()
	const large = 1 << 53
	tests := []struct {
		name    string
		window  policy.Window
		fitted  policy.Fitted
		usual   int64
		choices int64
		burst   int64
		want    int64
	}{
		{"the client's bound", policy.Window{}, policy.Fitted{Prompt: 100, Output: 50}, 0, 1, 0, 150},
		{"several choices", policy.Window{}, policy.Fitted{Prompt: 100, Output: 50}, 0, 3, 0, 250},
		{"no choices count as one", policy.Window{}, policy.Fitted{Prompt: 100, Output: 50}, 0, 0, 0, 150},
		{"a bound is not clamped", policy.Window{}, policy.Fitted{Prompt: 100, Output: 500}, 0, 1, 200, 600},
		{"a bound, whatever is usual", policy.Window{}, policy.Fitted{Prompt: 100, Output: 50}, 30, 1, 0, 150},
		{"no bound", policy.Window{}, policy.Fitted{Prompt: 100}, 0, 1, 0, 1124},
		{"no bound, the team's", policy.Window{TeamOutput: 10}, policy.Fitted{Prompt: 100}, 0, 1, 0, 110},
		{"no bound, the model's", policy.Window{MaxOutput: 20}, policy.Fitted{Prompt: 100}, 0, 1, 0, 120},
		{"no bound, the room's", policy.Window{Context: 130}, policy.Fitted{Prompt: 100}, 0, 1, 0, 130},
		{"no bound, clamped", policy.Window{}, policy.Fitted{Prompt: 100}, 0, 2, 1000, 1000},
		{"no bound, not above the burst", policy.Window{}, policy.Fitted{Prompt: 100}, 0, 1, 1124, 1124},
		{"no bound, the prompt alone is above the burst", policy.Window{}, policy.Fitted{Prompt: 2000}, 0, 1, 1000, 2000},
		{"usually short", policy.Window{}, policy.Fitted{Prompt: 100}, 30, 1, 0, 130},
		{"usually long", policy.Window{}, policy.Fitted{Prompt: 100}, 3000, 1, 0, 3100},
		{"usually long, several choices", policy.Window{}, policy.Fitted{Prompt: 100}, 3000, 3, 0, 9100},
		{"usually longer than the team's", policy.Window{TeamOutput: 10}, policy.Fitted{Prompt: 100}, 3000, 1, 0, 110},
		{"usually longer than the model's", policy.Window{MaxOutput: 20}, policy.Fitted{Prompt: 100}, 3000, 1, 0, 120},
		{"usually longer than the room", policy.Window{Context: 130}, policy.Fitted{Prompt: 100}, 3000, 1, 0, 130},
		{"usually longer than the burst", policy.Window{}, policy.Fitted{Prompt: 100}, 3000, 1, 1000, 1000},
		{"usually longer than can be counted", policy.Window{}, policy.Fitted{Prompt: 100}, math.MaxInt64, 2, 1000, 1000},
		{"usually less than nothing", policy.Window{}, policy.Fitted{Prompt: 100}, -1, 1, 0, 1124},
		{"too much to multiply", policy.Window{}, policy.Fitted{Prompt: 100, Output: math.MaxInt64}, 0, 128, 0, large},
		{"too much by one", policy.Window{}, policy.Fitted{Prompt: 0, Output: large / 4}, 0, 4, 0, large},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.window.Reserve(tt.fitted, tt.usual, tt.choices, tt.burst); got != tt.want {
				t.Errorf("Reserve(%+v, %d, %d, %d) = %d, want %d", tt.fitted, tt.usual, tt.choices, tt.burst, got, tt.want)
			}
		})
	}
}

// TestReserveFitsTheBucket holds that a request without a bound is never shut out of
// a full bucket that has room for its prompt, whatever answers were before, and
// that what is set aside for it is never less than its prompt.
func TestReserveFitsTheBucket(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		bound := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64Range(1, 1<<40))
		w := policy.Window{TeamOutput: bound.Draw(t, "team's"), MaxOutput: bound.Draw(t, "model's"), Context: bound.Draw(t, "context")}
		f := policy.Fitted{Prompt: rapid.Int64Range(0, 1<<40).Draw(t, "prompt")}
		choices, usual := rapid.Int64Range(0, 128).Draw(t, "choices"), rapid.Int64().Draw(t, "usual")
		burst := f.Prompt + rapid.Int64Range(1, 1<<40).Draw(t, "room")
		got := w.Reserve(f, usual, choices, burst)
		if got < f.Prompt || got > burst {
			t.Fatalf("Reserve = %d, want from %d to %d", got, f.Prompt, burst)
		}
		if most := w.Output(); most > 0 && got-f.Prompt > most*max(1, choices) {
			t.Fatalf("Reserve = %d, more than %d answers of %d tokens", got, choices, most)
		}
	})
}
