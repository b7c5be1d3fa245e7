import{A as e,F as t,L as n}from"./kit-BMdJT1DN.js";var r=class{rest=``;feed(e){let t=(this.rest+e).replaceAll(`\r
`,`
`).split(`

`);return this.rest=t.pop()??``,t.flatMap(e=>{let t={id:``,name:`message`,data:``},n=[];for(let r of e.split(`
`)){let e=r.indexOf(`:`);if(e<=0)continue;let i=r.slice(0,e),a=r.slice(e+1).replace(/^ /,``);i===`id`?t.id=a:i===`event`?t.name=a:i===`data`&&n.push(a)}return t.data=n.join(`
`),n.length>0||t.name!==`message`?[t]:[]})}},i=1e3;async function a({path:a,signal:o,onEvent:s,onOpen:c}){let l=``;for(;!o.aborted;){try{let e={accept:`text/event-stream`};l&&(e[`last-event-id`]=l);let n=await t(a,{headers:e,signal:o});c?.();let i=n.body?.pipeThrough(new TextDecoderStream).getReader(),u=new r;for(;i;){let{done:e,value:t}=await i.read();if(e)break;for(let e of u.feed(t))if(e.id&&(l=e.id),s(e),e.name===`end`)return}}catch(t){if(o.aborted)return;if(!(t instanceof e)&&!(t instanceof TypeError))throw t;n()}await new Promise(e=>setTimeout(e,i))}}export{a as t};