package openai

// Usage is what a request used, in tokens or seconds, as upstream reports it.
type Usage struct {
	Prompt, Completion int64
	Cached, Reasoning  int64 // parts of Prompt and of Completion

	Audio, Image Part // of them that are of sound, and of images, as far as upstream tells

	Seconds float64 // of audio, where that is what is paid for
}

// Part is how many of a request's tokens are of one kind; Cached is a part of Input.
type Part struct{ Input, Cached, Output int64 }

// mostTokens is more than any request uses, and so little that sums of it are numbers.
const mostTokens = 1 << 50

// tokens returns a number of tokens of a usage object: 0 where it is none.
func tokens(v Value) int64 {
	n, _ := v.Int()
	return min(max(0, n), mostTokens)
}

// readUsage reads a usage object; ok is false where v is none. A part is never more
// than what it is a part of.
func readUsage(v Value) (u Usage, ok bool) {
	if v.Kind() != Object {
		return Usage{}, false
	}
	// The Responses API, images and audio have names of their own.
	prompt, completion := v.Get("prompt_tokens"), v.Get("completion_tokens")
	if _, ok = prompt.Int(); !ok {
		if v.Get("type").Is("duration") {
			u.Seconds, ok = v.Get("seconds").Float()
			return u, ok
		}
		prompt, completion = v.Get("input_tokens"), v.Get("output_tokens")
		_, ok = prompt.Int()
	}
	u.Prompt, u.Completion = tokens(prompt), tokens(completion)
	in := firstObject(v, "prompt_tokens_details", "input_tokens_details", "input_token_details")
	out := firstObject(v, "completion_tokens_details", "output_tokens_details", "output_token_details")
	u.Cached, u.Reasoning = min(tokens(in.Get("cached_tokens")), u.Prompt), min(tokens(out.Get("reasoning_tokens")), u.Completion)
	u.Audio = Part{Input: tokens(in.Get("audio_tokens")), Output: tokens(out.Get("audio_tokens"))}
	u.Image = Part{Input: tokens(in.Get("image_tokens")), Output: tokens(out.Get("image_tokens"))}
	cached := in.Get("cached_tokens_details")
	u.Audio.Cached, u.Image.Cached = tokens(cached.Get("audio_tokens")), tokens(cached.Get("image_tokens"))
	u.clamp()
	return u, ok
}

// firstObject returns the first member of an object that is one itself, of those
// with such names.
func firstObject(in Value, names ...string) Value {
	for _, name := range names {
		if v := in.Get(name); v.Kind() == Object {
			return v
		}
	}
	return Value{}
}

// clamp makes no part more than what it is a part of.
func (u *Usage) clamp() {
	u.Audio.Input, u.Audio.Output = min(u.Audio.Input, u.Prompt), min(u.Audio.Output, u.Completion)
	u.Image.Input, u.Image.Output = min(u.Image.Input, u.Prompt-u.Audio.Input), min(u.Image.Output, u.Completion-u.Audio.Output)
	u.Audio.Cached = min(u.Audio.Cached, u.Audio.Input, u.Cached)
	u.Image.Cached = min(u.Image.Cached, u.Image.Input, u.Cached-u.Audio.Cached)
}

// more returns what a stream has used whose events tell what each of its images
// took: the prompt is the same one.
func (u Usage) more(before Usage) Usage {
	plus := func(a, b int64) int64 { return min(a+b, mostTokens) }
	input, output := u, plus(u.Completion, before.Completion)
	if before.Prompt > u.Prompt {
		input = before
	}
	input.Completion, input.Reasoning = output, plus(u.Reasoning, before.Reasoning)
	input.Audio.Output = plus(u.Audio.Output, before.Audio.Output)
	input.Image.Output = plus(u.Image.Output, before.Image.Output)
	return input
}
