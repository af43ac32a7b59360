package openai_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"weir/openai"
)

// TestReadValue: what an upstream sends is read although nobody should write it.
func TestReadValue(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, src, member, want string
	}{
		{"a name twice", `{"a":"1","a":"2"}`, "a", "1"},
		{"the first half of a pair", `{"a":"x\ud83d"}`, "a", "x\ufffd"},
		{"the second half of a pair", `{"a":"\ude00x"}`, "a", "\ufffdx"},
		{"two first halves", `{"a":"\ud83d\ud83d\ude00"}`, "a", "\ufffd\U0001f600"},
		{"a half before another escape", `{"a":"\ud83d\n"}`, "a", "\ufffd\n"},
		{"bytes that are not UTF-8", "{\"a\":\"\xff\"}", "a", "\xff"},
		{"a byte order mark", "\ufeff{\"a\":\"1\"}", "a", "1"},
		{"more values than a request may have", `{"b":[` + strings.Repeat("0,", openai.MaxValues) + `0],"a":"1"}`, "a", "1"},
		{"what follows logprobs", `{"logprobs":{"a":["2"]},"a":"1"}`, "a", "1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			v, err := openai.ReadValue([]byte(tt.src))
			if err != nil {
				t.Fatal(err)
			}
			if got := v.Get(tt.member).Text(); got != tt.want {
				t.Errorf("%s is %q, want %q", tt.member, got, tt.want)
			}
			if _, err := openai.ParseValue([]byte(tt.src)); err == nil && !strings.Contains(tt.src, "logprobs") {
				t.Error("a request may hold it too")
			}
		})
	}
	if _, err := openai.ReadValue([]byte(`{"a":1}{}`)); err == nil {
		t.Error("text behind the value was taken")
	}
}

// TestLogprobsAreRaw: what logprobs hold is no part of the view, and is kept.
func TestLogprobsAreRaw(t *testing.T) {
	t.Parallel()
	const logprobs = `{"content":[{"token":"a","top_logprobs":[{"token":"b"}]}]}`
	v, err := openai.ReadValue([]byte(`{"choices":[{"logprobs":` + logprobs + `,"index":3}],"usage":{"prompt_tokens":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	choice := v.Get("choices").At(0)
	if got := string(choice.Get("logprobs").Raw()); got != logprobs {
		t.Errorf("logprobs are %s", got)
	}
	if n, _ := choice.Get("index").Int(); n != 3 || choice.Get("logprobs").Len() != 0 {
		t.Errorf("index %d, %d members of logprobs", n, choice.Get("logprobs").Len())
	}
	if n, _ := v.Get("usage").Get("prompt_tokens").Int(); n != 1 {
		t.Errorf("%d prompt tokens", n)
	}
}

// TestStreamPassesOverAMark: a byte order mark at its head hides no event.
func TestStreamPassesOverAMark(t *testing.T) {
	t.Parallel()
	s := openai.NewStream(strings.NewReader("\ufeffdata: {\"id\":\"x\"}\n\ndata: [DONE]\n\n"))
	if e, err := s.Next(); err != nil || !e.Root.Get("id").Is("x") {
		t.Errorf("the first event is %+v, %v", e, err)
	}
	if e, err := s.Next(); err != nil || !e.Done {
		t.Errorf("the second is %+v, %v", e, err)
	}
	if _, err := s.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("the end is %v", err)
	}
}

// TestEmbeddingsAreRaw: the numbers of an embedding are no part of the view.
func TestEmbeddingsAreRaw(t *testing.T) {
	t.Parallel()
	v, err := openai.ReadValue([]byte(`{"data":[{"embedding":[1,-2e-3],"index":0},{"embedding":"AAA","index":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	first, second := v.Get("data").At(0), v.Get("data").At(1)
	if e := first.Get("embedding"); string(e.Raw()) != "[1,-2e-3]" || e.Len() != 0 {
		t.Errorf("an embedding is %s, with %d elements", e.Raw(), e.Len())
	}
	if n, _ := second.Get("index").Int(); n != 1 || !second.Get("embedding").Is("AAA") {
		t.Errorf("what follows is %s", second.Raw())
	}
}
