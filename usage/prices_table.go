package usage

import "math"

// priced is one row of the table: the price of the models of a prefix.
type priced struct {
	prefix string
	price  Price
}

// usd returns the row of a model with its prices in dollars for a million tokens:
// of the prompt, of what was cached of it (0: the same) and of the answer.
func usd(prefix string, input, cached, output float64) priced {
	r := rates(input, cached, output)
	return priced{prefix, Price{Input: r.Input, Cached: r.Cached, Output: r.Output}}
}

// rates returns prices that are in dollars for a million tokens.
func rates(input, cached, output float64) Rates {
	each := func(perMillion float64) USD { return USD(math.Round(perMillion * float64(Dollar) / 1e6)) }
	return Rates{Input: each(input), Cached: each(cached), Output: each(output)}
}

// audio returns r with the prices of its tokens that are of sound (0: as of text).
func (r priced) audio(input, cached, output float64) priced {
	r.price.Audio = rates(input, cached, output)
	return r
}

// images returns r with the prices of its tokens that are of images (0: as of text).
func (r priced) images(input, cached, output float64) priced {
	r.price.Image = rates(input, cached, output)
	return r
}

// minute returns the row of a model with its price in dollars for a minute of sound.
func minute(prefix string, price float64) priced {
	return priced{prefix, Price{Second: USD(math.Round(price * float64(Dollar) / 60))}}
}

// doubled returns r where prompts above 272,000 tokens double the price of the
// prompt and raise that of the answer by half.
func (r priced) doubled() priced {
	r.price.Long = 272_000
	r.price.LongInput, r.price.LongCached = 2*r.price.Input, 2*r.price.Cached
	r.price.LongOutput = r.price.Output + r.price.Output/2
	return r
}

// The table holds the prices of global standard deployments, pay as you go, in US
// dollars before tax. Where Azure has no global deployment of a model, it is the
// price that its page quotes; where Azure lists none at all, it is OpenAI's. They
// are facts of their day: `make prices` compares them with the newest list, and the
// configuration overrides any of them. The sources, in the comment of each row:
//
//	retail   Azure's retail price list, as LiteLLM's list of prices quotes it
//	page     Azure OpenAI pricing page, as LiteLLM's list quotes it
//	azure    Azure's price, as LiteLLM's list has it, which names no page
//	openai   OpenAI's pricing page, as LiteLLM's list quotes it
//	history  OpenAI's price when the model was retired, as gpt-tokenizer 4.0.0 has it
//
// What upstream writes into its cache costs a quarter more than Input from gpt-5.6
// on; a record does not tell these tokens apart, so they count as Input.

func pricedGPT6() []priced {
	return []priced{
		usd("gpt-6.1-sol", 2, 0.1, 10).doubled(),     // azure, 2026-11-12
		usd("gpt-6.1-terra", 1, 0.05, 5).doubled(),   // page, 2026-11-12
		usd("gpt-6-astra", 10, 1, 50).doubled(),      // page, 2026-11-12
		usd("gpt-6-astra-law", 10, 1, 50),            // openai, 2026-11-12
		usd("gpt-6-sol", 2, 0.2, 10).doubled(),       // page, 2026-11-12
		usd("gpt-6-luna", 0.1, 0.01, 0.5).doubled(),  // page, 2026-11-12
		usd("gpt-6-rosalind", 15, 1.5, 75).doubled(), // openai, 2026-11-12
	}
}

func pricedGPT5() []priced {
	return []priced{
		usd("gpt-5", 1.25, 0.125, 10),                  // retail, 2026-11-12
		usd("gpt-5-chat", 1.25, 0.125, 10),             // retail, 2026-11-12
		usd("gpt-5-codex", 1.25, 0.125, 10),            // retail, 2026-11-12
		usd("gpt-5-mini", 0.25, 0.025, 2),              // retail, 2026-11-12
		usd("gpt-5-nano", 0.05, 0.005, 0.4),            // retail, 2026-11-12
		usd("gpt-5-pro", 15, 0, 120),                   // retail, 2026-11-12
		usd("gpt-5-search-api", 1.25, 0.125, 10),       // openai, 2026-11-12
		usd("gpt-5.1", 1.25, 0.125, 10),                // retail, 2026-11-12
		usd("gpt-5.1-chat", 1.25, 0.125, 10),           // retail, 2026-11-12
		usd("gpt-5.1-codex", 1.25, 0.125, 10),          // retail, 2026-11-12
		usd("gpt-5.1-codex-max", 1.25, 0.125, 10),      // retail, 2026-11-12
		usd("gpt-5.1-codex-mini", 0.25, 0.025, 2),      // retail, 2026-11-12
		usd("gpt-5.2", 1.75, 0.175, 14),                // retail, 2026-11-12
		usd("gpt-5.2-chat", 1.75, 0.175, 14),           // retail, 2026-11-12
		usd("gpt-5.2-codex", 1.75, 0.175, 14),          // retail, 2026-11-12
		usd("gpt-5.2-pro", 21, 0, 168),                 // retail, 2026-11-12
		usd("gpt-5.3-chat", 1.75, 0.175, 14),           // retail, 2026-11-12
		usd("gpt-5.3-codex", 1.75, 0.175, 14),          // retail, 2026-11-12
		usd("gpt-5.4", 2.5, 0.25, 15).doubled(),        // retail, 2026-11-12
		usd("gpt-5.4-mini", 0.75, 0.075, 4.5),          // retail, 2026-11-12
		usd("gpt-5.4-nano", 0.2, 0.02, 1.25),           // retail, 2026-11-12
		usd("gpt-5.4-pro", 30, 3, 180).doubled(),       // retail, 2026-11-12
		usd("gpt-5.5", 5, 0.5, 30).doubled(),           // retail, 2026-11-12
		usd("gpt-5.5-cyber", 12.5, 1.25, 75),           // openai, 2026-11-12
		usd("gpt-5.5-pro", 30, 3, 180).doubled(),       // azure, 2026-11-12
		usd("gpt-5.6", 4, 0.4, 20).doubled(),           // azure, 2026-11-12
		usd("gpt-5.6-cyber", 12.5, 1.25, 75).doubled(), // openai, 2026-11-12
		usd("gpt-5.6-luna", 0.2, 0.02, 1.2).doubled(),  // retail, 2026-11-12
		usd("gpt-5.6-sol", 4, 0.4, 20).doubled(),       // retail, 2026-11-12
		usd("gpt-5.6-terra", 2, 0.2, 12).doubled(),     // retail, 2026-11-12
		usd("gpt-chat", 5, 0.5, 30),                    // page, 2026-11-12
	}
}

func pricedGPT4() []priced {
	return []priced{
		usd("gpt-4.1", 2, 0.5, 8),                   // retail, 2026-11-12
		usd("gpt-4.1-mini", 0.4, 0.1, 1.6),          // retail, 2026-11-12
		usd("gpt-4.1-nano", 0.1, 0.025, 0.4),        // retail, 2026-11-12
		usd("gpt-4.5", 75, 37.5, 150),               // azure, before retirement, 2026-11-12
		usd("gpt-4o", 2.5, 1.25, 10),                // page and retail, 2026-11-12
		usd("gpt-4o-2024-05-13", 5, 0, 15),          // retail, 2026-11-12
		usd("gpt-4o-mini", 0.15, 0.075, 0.6),        // page and retail, 2026-11-12
		usd("gpt-4o-search", 2.5, 1.25, 10),         // openai, 2026-11-12
		usd("gpt-4o-mini-search", 0.15, 0.075, 0.6), // openai, 2026-11-12
		usd("chatgpt-4o", 5, 0, 15),                 // history, 2026-11
		usd("gpt-4-turbo", 11, 0, 33),               // page, regional, 2026-11-12
		usd("gpt-4-turbo-vision", 11, 0, 33),        // page, regional, 2026-11-12
		usd("gpt-4-vision", 10, 0, 30),              // history, 2026-11
		usd("gpt-4-1106", 10, 0, 30),                // azure, 2026-11-12
		usd("gpt-4-1106-vision", 10, 0, 30),         // history, 2026-11
		usd("gpt-4-0125", 10, 0, 30),                // azure, 2026-11-12
		usd("gpt-4", 30, 0, 60),                     // azure, 2026-11-12
		usd("gpt-4-32k", 60, 0, 120),                // azure, 2026-11-12
	}
}

// pricedSound holds the models that hear or speak, and those that make images.
func pricedSound() []priced {
	return []priced{
		usd("gpt-audio", 2.5, 0, 10).audio(40, 0, 80),           // azure, 2026-11-12
		usd("gpt-audio-1.5", 2.5, 0, 10).audio(32, 0, 64),       // page, 2026-11-12
		usd("gpt-audio-mini", 0.6, 0, 2.4).audio(10, 0, 20),     // azure, 2026-11-12
		usd("gpt-4o-audio", 2.5, 0, 10).audio(40, 0, 80),        // azure, 2026-11-12
		usd("gpt-4o-mini-audio", 0.15, 0, 0.6).audio(10, 0, 20), // page, 2026-11-12

		usd("gpt-4o-realtime", 5, 2.5, 20).audio(40, 0, 80),                                  // azure, 2026-11-23
		usd("gpt-4o-realtime-preview-2024-10-01", 5, 2.5, 20).audio(100, 0, 200),             // azure, before retirement, 2026-11-23
		usd("gpt-4o-mini-realtime", 0.6, 0.3, 2.4).audio(10, 0, 20),                          // azure, 2026-11-23
		usd("gpt-realtime", 4, 0.4, 16).audio(32, 0.4, 64).images(5, 0.5, 0),                 // azure; what is cached of images openai, 2026-11-23
		usd("gpt-realtime-1.5", 4, 0.4, 16).audio(32, 0.4, 64).images(5, 0.5, 0),             // as above, 2026-11-23
		usd("gpt-realtime-2", 4, 0.4, 24).audio(32, 0.4, 64).images(5, 0.5, 0),               // retail; as above
		usd("gpt-realtime-2.1", 4, 0.4, 24).audio(32, 0.4, 64).images(5, 0.5, 0),             // azure; as above
		usd("gpt-realtime-2.1-mini", 0.6, 0.06, 2.4).audio(10, 0.3, 20).images(0.8, 0.08, 0), // as above, 2026-11-23
		usd("gpt-realtime-mini", 0.6, 0.06, 2.4).audio(10, 0.3, 20).images(0.8, 0.08, 0),     // as above, 2026-11-23

		usd("gpt-4o-transcribe", 2.5, 0, 10).audio(6, 0, 0),         // page, 2026-11-23
		usd("gpt-4o-transcribe-diarize", 2.5, 0, 10).audio(6, 0, 0), // page, 2026-11-23
		usd("gpt-4o-mini-transcribe", 1.25, 0, 5).audio(3, 0, 0),    // azure, 2026-11-23
		usd("gpt-4o-mini-tts", 0.6, 0, 10).audio(0, 0, 12),          // azure, 2026-11-23
		minute("whisper", 0.006),                                    // retail, 2026-11-23
		minute("whisper-1", 0.006),                                  // azure, 2026-11-23
		minute("gpt-transcribe", 0.0045),                            // retail, 2026-11-23
		minute("gpt-live-transcribe", 0.017),                        // retail, 2026-11-23
		minute("gpt-realtime-whisper", 0.017),                       // azure, 2026-11-23

		usd("gpt-image-1", 5, 1.25, 0).images(10, 2.5, 40),         // page, 2026-11-23
		usd("gpt-image-1-mini", 2, 0.2, 0).images(2.5, 0.25, 8),    // page, 2026-11-23
		usd("gpt-image-1.5", 5, 1.25, 10).images(8, 2, 32),         // page, 2026-11-23
		usd("gpt-image-2", 5, 1.25, 0).images(8, 2, 30),            // page, 2026-11-23
		usd("gpt-image-2.5-flare", 5, 1.25, 0).images(8, 2, 30),    // page, 2026-11-23
		usd("gpt-image-2.5-sunburst", 5, 1.25, 0).images(8, 2, 30), // page, 2026-11-23
		usd("chatgpt-image", 5, 1.25, 10).images(8, 2, 32),         // openai, 2026-11-23
	}
}

func pricedReasoning() []priced {
	return []priced{
		usd("o1", 15, 7.5, 60),                  // retail, 2026-11-12
		usd("o1-preview", 16.5, 8.25, 66),       // retail, data zones, 2026-11-12
		usd("o1-mini", 1.1, 0.55, 4.4),          // retail, 2026-11-12
		usd("o1-pro", 150, 0, 600),              // openai, 2026-11-12
		usd("o3", 2, 0.5, 8),                    // page and retail, 2026-11-12
		usd("o3-mini", 1.1, 0.55, 4.4),          // page and retail, 2026-11-12
		usd("o3-pro", 20, 0, 80),                // retail, 2026-11-12
		usd("o3-deep-research", 10, 2.5, 40),    // retail, 2026-11-12
		usd("o4-mini", 1.1, 0.275, 4.4),         // page and retail, 2026-11-12
		usd("o4-mini-deep-research", 2, 0.5, 8), // openai, 2026-11-12
		usd("codex-mini", 1.5, 0.375, 6),        // retail, 2026-11-12
	}
}

func pricedOlder() []priced {
	return []priced{
		usd("gpt-3.5", 0.5, 0, 1.5),                 // azure, 2026-11-12
		usd("gpt-3.5-turbo", 0.5, 0, 1.5),           // azure, 2026-11-12
		usd("gpt-3.5-turbo-1106", 1, 0, 2),          // openai, 2026-11-12
		usd("gpt-3.5-turbo-0613", 1.5, 0, 2),        // history, 2026-11
		usd("gpt-3.5-turbo-0301", 1.5, 0, 2),        // history, 2026-11
		usd("gpt-3.5-turbo-16k", 3, 0, 4),           // azure, 2026-11-12
		usd("gpt-3.5-turbo-instruct", 1.65, 0, 2.2), // page, regional, 2026-11-12
	}
}

func pricedOthers() []priced {
	return []priced{
		usd("chat-latest", 5, 0.5, 30),                    // page, 2026-11-12
		usd("computer-use-preview", 3, 0, 12),             // retail, 2026-11-12
		usd("daybreak-blue", 4, 0.4, 20).doubled(),        // openai, 2026-11-12
		usd("daybreak-red", 12.5, 1.25, 75).doubled(),     // openai, 2026-11-12
		usd("gpt-daybreak-blue", 4, 0.4, 20).doubled(),    // openai, 2026-11-12
		usd("gpt-daybreak-red", 12.5, 1.25, 75).doubled(), // openai, 2026-11-12
		usd("gpt-rosalind-discovery", 5, 0.5, 25),         // openai, 2026-11-12
		usd("gpt-rosalind-research", 5, 0.5, 25),          // openai, 2026-11-12
		usd("gpt-oss-120b", 0.15, 0, 0.6),                 // retail, 2026-11-12
		usd("text-embedding-3-large", 0.143, 0, 0),        // page, regional, 2026-11-12
		usd("text-embedding-3-small", 0.022, 0, 0),        // page, regional, 2026-11-12
		usd("text-embedding-ada-002", 0.11, 0, 0),         // page, regional, 2026-11-12
		usd("text-embedding-ada-002-v2", 0.1, 0, 0),       // openai, 2026-11-12
	}
}
