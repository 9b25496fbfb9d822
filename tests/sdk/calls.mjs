// Makes one call for each line of the standard input, with the SDKs of npm, and prints what came of it on one line.
//
// usage: calls.mjs PROXY UPSTREAM    both as host:port
// A line is `proxy` or `direct`, then one of KINDS, then nothing, `stream`, `tools` or `image`.

import { createInterface } from 'node:readline'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { generateText, jsonSchema, streamText, tool } from 'ai'
import { createAnthropic } from '@ai-sdk/anthropic'
import { createGoogleGenerativeAI } from '@ai-sdk/google'
import { createOpenAI } from '@ai-sdk/openai'

const [PROXY, UPSTREAM] = process.argv.slice(2)
const QUESTION = 'Say hi'
const SCHEMA = { type: 'object', properties: { a: { type: 'integer' } } }
const IMAGE = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const IMAGE_URL = `data:image/png;base64,${IMAGE}`

const base = (way, upstream) => (way === 'proxy' ? `http://${PROXY}/${upstream}` : `http://${UPSTREAM}`)
const headers = (way) => (way === 'proxy' ? { 'x-tollbar-project': 'sdk test' } : {})
const openai = (way) => new OpenAI({ baseURL: base(way, 'openai') + '/v1', apiKey: 'sk-test', maxRetries: 0, defaultHeaders: headers(way) })

async function chat(way, how) {
  const parts = [{ type: 'text', text: QUESTION }, { type: 'image_url', image_url: { url: IMAGE_URL } }]
  const options = { model: 'gpt-4.1', messages: [{ role: 'user', content: how === 'image' ? parts : QUESTION }] }
  const { completions } = openai(way).chat
  if (how === 'stream') {
    let text = ''
    let usage
    for await (const chunk of await completions.create({ ...options, stream: true, stream_options: { include_usage: true } })) {
      text += chunk.choices[0]?.delta.content ?? ''
      usage = chunk.usage ?? usage
    }
    return [text, usage.total_tokens]
  }
  if (how === 'tools') options.tools = [{ type: 'function', function: { name: 'add', parameters: SCHEMA } }]
  const answer = await completions.create(options)
  const { message } = answer.choices[0]
  return [message.tool_calls?.[0].function.arguments ?? message.content, answer.usage.total_tokens]
}

async function responses(way, how) {
  const parts = [{ type: 'input_text', text: QUESTION }, { type: 'input_image', image_url: IMAGE_URL, detail: 'auto' }]
  const options = { model: 'gpt-4.1', input: how === 'image' ? [{ role: 'user', content: parts }] : QUESTION }
  if (how === 'stream') {
    let text = ''
    let usage
    for await (const event of await openai(way).responses.create({ ...options, stream: true })) {
      if (event.type === 'response.output_text.delta') text += event.delta
      if (event.type === 'response.completed') usage = event.response.usage
    }
    return [text, usage.total_tokens]
  }
  if (how === 'tools') options.tools = [{ type: 'function', name: 'add', parameters: SCHEMA, strict: false }]
  const answer = await openai(way).responses.create(options)
  return [answer.output_text || answer.output[0].arguments, answer.usage.total_tokens]
}

async function messages(way, how) {
  const client = new Anthropic({ baseURL: base(way, 'anthropic'), apiKey: 'sk-test', maxRetries: 0, defaultHeaders: headers(way) })
  const parts = [{ type: 'text', text: QUESTION }, { type: 'image', source: { type: 'base64', media_type: 'image/png', data: IMAGE } }]
  const options = { model: 'claude-sonnet-5-5', max_tokens: 100, messages: [{ role: 'user', content: how === 'image' ? parts : QUESTION }] }
  if (how === 'tools') options.tools = [{ name: 'add', description: 'adds', input_schema: SCHEMA }]
  const answer = how === 'stream' ? await client.messages.stream(options).finalMessage() : await client.messages.create(options)
  const [block] = answer.content
  return [block.text ?? JSON.stringify(block.input), answer.usage.input_tokens + answer.usage.output_tokens]
}

// Vercel's SDK with one of its providers.
const ai = (model) => async (way, how) => {
  const parts = [{ type: 'text', text: QUESTION }, { type: 'image', image: IMAGE, mediaType: 'image/png' }]
  const options = { model: model(way), maxRetries: 0, messages: [{ role: 'user', content: how === 'image' ? parts : QUESTION }] }
  if (how === 'tools') options.tools = { add: tool({ description: 'adds', inputSchema: jsonSchema(SCHEMA) }) }
  if (how === 'stream') {
    let failed
    const answer = streamText({ ...options, onError: ({ error }) => (failed = error) })
    let text = ''
    for await (const piece of answer.textStream) text += piece
    if (failed) throw failed
    return [text, (await answer.usage).totalTokens]
  }
  const answer = await generateText(options)
  return [answer.text || JSON.stringify(answer.toolCalls[0].input), answer.usage.totalTokens]
}
const provider = (create, upstream, version) => (way) => create({ baseURL: base(way, upstream) + version, apiKey: 'sk-test', headers: headers(way) })
const withOpenAI = provider(createOpenAI, 'openai', '/v1')
const withAnthropic = provider(createAnthropic, 'anthropic', '/v1')
const withGoogle = provider(createGoogleGenerativeAI, 'gemini', '/v1beta')

const KINDS = {
  chat,
  responses,
  messages,
  'ai-responses': ai((way) => withOpenAI(way)('gpt-4.1')),
  'ai-chat': ai((way) => withOpenAI(way).chat('gpt-4.1')),
  'ai-messages': ai((way) => withAnthropic(way)('claude-sonnet-5-5')),
  'ai-gemini': ai((way) => withGoogle(way)('gemini-2.5-flash')),
}

for await (const line of createInterface({ input: process.stdin })) {
  const [way, kind, how] = line.split(' ')
  try {
    console.log('ok', ...(await KINDS[kind](way, how)))
  } catch (error) {
    console.log(error.constructor.name, error.status ?? error.statusCode, String(error.message).split(/\s+/).join(' '))
  }
}
