const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=["assets/graph-t5kG4LT0.js","assets/rolldown-runtime-WkwZ5CU-.js","assets/react-AyOTluXZ.js","assets/i18n-BCG0qTHe.js","assets/graph-DLioOiRN.css"])))=>i.map(i=>d[i]);
import{n as e}from"./rolldown-runtime-WkwZ5CU-.js";import{G as t,N as n,_ as r,a as i,c as a,d as o,gt as s,h as c,l,m as u,n as d,o as f,p,r as m,s as h,t as g,u as _,y as v}from"./kit-BMdJT1DN.js";import{c as y,h as b,m as x,o as S,s as C,t as w}from"./index-Bn3TCjfd.js";import{i as T,r as E}from"./react-AyOTluXZ.js";import{i as D}from"./i18n-BCG0qTHe.js";import{Editor as O}from"./editor-BBgsWpmf.js";import{Executions as k}from"./flows-CjV7gg8H.js";var A=e(T(),1),j={"States Language":`{
  "Comment": "Fetch, work on every item at once, then say so.",
  "StartAt": "Prepare",
  "States": {
    "Prepare": {
      "Type": "Pass",
      "Result": { "items": [1, 2, 3, 4] },
      "Next": "Each"
    },
    "Each": {
      "Type": "Map",
      "ItemsPath": "$.items",
      "MaxConcurrency": 2,
      "ItemProcessor": {
        "StartAt": "Pause",
        "States": {
          "Pause": { "Type": "Wait", "Seconds": 2, "End": true }
        }
      },
      "Next": "Enough"
    },
    "Enough": {
      "Type": "Choice",
      "Choices": [
        { "Variable": "$[0]", "NumericGreaterThan": 0, "Next": "Done" }
      ],
      "Default": "Nothing"
    },
    "Nothing": { "Type": "Fail", "Error": "Empty", "Cause": "there was nothing to do" },
    "Done": { "Type": "Succeed" }
  }
}
`,CloudFlow:`Type: StateMachine
SpecVersion: v1
Name: example
StartAt: Prepare
States:
  - Type: Pass
    Name: Prepare
    OutputConstructor:
      ready: true
    Next: Pause
  - Type: Wait
    Name: Pause
    Duration: 2
    End: true
`,FDL:`version: v1
type: flow
steps:
  - type: pass
    name: prepare
  - type: wait
    name: pause
    duration: 2
  - type: succeed
    name: done
`},M=E(),N=(0,A.lazy)(()=>w(()=>import(`./graph-t5kG4LT0.js`),__vite__mapDeps([0,1,2,3,4]))),P=350;function F(e,t){let[r,i]=(0,A.useState)(e);(0,A.useEffect)(()=>{let t=setTimeout(()=>i(e),P);return()=>clearTimeout(t)},[e]);let a=s({queryKey:[`checkFlow`,r,t],queryFn:()=>n(`checkFlow`,{body:{definition:r,mode:t}}),enabled:r.trim()!==``,staleTime:6e4,placeholderData:e=>e});return r.trim()===``?void 0:a.data}function I({text:e,setText:t,mode:n,className:r}){let i=F(e,n),a=(0,A.useDeferredValue)(i?.graph),[o,s]=(0,A.useState)(),l=i?.problems??[];return(0,M.jsxs)(`div`,{className:`grid min-w-0 gap-3 lg:grid-cols-2 ${r??``}`,children:[(0,M.jsx)(O,{value:e,...t?{onChange:t}:{},readOnly:!t,mode:e.trimStart().startsWith(`{`)?`json`:`yaml`,label:D(`flow.definition`),findings:l,className:`h-[56vh] min-h-72`}),(0,M.jsxs)(`div`,{className:`sheet flex h-[56vh] min-h-72 min-w-0 flex-col overflow-hidden`,children:[(0,M.jsx)(`div`,{className:`min-h-0 flex-1`,children:a?(0,M.jsx)(A.Suspense,{fallback:(0,M.jsx)(c,{}),children:(0,M.jsx)(N,{graph:a,className:`h-full`,onPick:e=>s(`${a.steps[e]?.name} · ${D(`flow.line`,{n:a.steps[e]?.line??0})}`)})}):(0,M.jsx)(f,{children:l.length>0?D(`flow.broken`):D(`flow.empty`)})}),(0,M.jsx)(`div`,{className:`max-h-40 overflow-auto border-t border-rule`,"aria-live":`polite`,tabIndex:0,role:`region`,"aria-label":D(`flow.problems`),"data-testid":`problems`,children:l.length===0?(0,M.jsx)(`p`,{className:`px-3 py-2 text-soft`,children:i?`${i.dialect??``} · ${o??D(`flow.fine`)}`:` `}):l.map(e=>(0,M.jsxs)(`p`,{className:`flex gap-3 border-b border-rule px-3 py-1.5 last:border-0`,children:[(0,M.jsxs)(`span`,{className:`num text-soft`,children:[e.line,`:`,e.column]}),(0,M.jsxs)(`span`,{className:e.isError?`text-bad`:`text-warn`,children:[e.message,e.hint&&(0,M.jsx)(`span`,{className:`block text-soft`,children:e.hint})]})]},`${e.line}-${e.column}-${e.message}`))})]})]})}function L(){let e=x(),[t,r]=(0,A.useState)(``),[i,o]=(0,A.useState)(`Standard`),[s,c]=(0,A.useState)(`States Language`),[u,f]=(0,A.useState)(j[`States Language`]),[m,h]=(0,A.useState)(),[g,_]=(0,A.useState)(!1),v=e=>{(u===j[s]||u.trim()===``)&&f(j[e]),c(e)},y=async()=>{_(!0),h(void 0);try{await n(`createFlow`,{body:{name:t.trim(),definition:u,mode:i}}),await C(`listFlows`),e({to:`/flows/${encodeURIComponent(t.trim())}`})}catch(e){h(e),_(!1)}};return(0,M.jsxs)(M.Fragment,{children:[(0,M.jsx)(l,{title:D(`flow.new`),back:{to:`/flows`,name:D(`nav.flows`)},children:(0,M.jsx)(d,{kind:`main`,need:`createFlow`,busy:g,disabled:!t.trim(),onClick:()=>void y(),children:D(`flow.create`)})}),(0,M.jsxs)(`div`,{className:`mb-3 grid max-w-3xl grid-cols-2 gap-3 sm:grid-cols-[2fr_1fr_1fr]`,children:[(0,M.jsx)(`div`,{className:`col-span-2 sm:col-span-1`,children:(0,M.jsx)(a,{label:D(`name`),children:e=>(0,M.jsx)(`input`,{id:e,className:`field mono`,value:t,onChange:e=>r(e.target.value),autoFocus:!0})})}),(0,M.jsx)(a,{label:D(`flow.language`),children:e=>(0,M.jsx)(`select`,{id:e,className:`field`,value:s,onChange:e=>v(e.target.value),children:Object.keys(j).map(e=>(0,M.jsx)(`option`,{children:e},e))})}),(0,M.jsx)(a,{label:D(`flow.mode`),children:e=>(0,M.jsxs)(`select`,{id:e,className:`field`,value:i,onChange:e=>o(e.target.value),children:[(0,M.jsx)(`option`,{value:`Standard`,children:D(`mode.Standard`)}),(0,M.jsx)(`option`,{value:`Express`,children:D(`mode.Express`)})]})})]}),(0,M.jsx)(p,{error:m,className:`mb-3`}),(0,M.jsx)(I,{text:u,setText:f,mode:i})]})}function R(){let{name:e,tab:t=`executions`}=b({strict:!1}),i=y(`getFlow`,{path:{flow:e}}),a=x(),[s,u]=(0,A.useState)(!1),[f,h]=(0,A.useState)(!1);if(i.error&&!i.data)return(0,M.jsx)(p,{error:i.error});if(!i.data)return(0,M.jsx)(c,{rows:8});let g=i.data,_=t=>`/flows/${encodeURIComponent(e)}${t===`executions`?``:`/${t}`}`;return(0,M.jsxs)(M.Fragment,{children:[(0,M.jsxs)(l,{title:g.name,back:{to:`/flows`,name:D(`nav.flows`)},sub:g.description||`${g.dialect} · ${g.mode}`,children:[(0,M.jsx)(d,{kind:`main`,icon:`play`,need:`startExecution`,onClick:()=>h(!0),children:D(`flow.start`)}),(0,M.jsx)(o,{label:D(`more`),choices:[{name:D(`flow.delete`),icon:`close`,bad:!0,need:`deleteFlow`,onPick:()=>u(!0)}]})]}),(0,M.jsx)(r,{on:t,tabs:[`executions`,`definition`,`versions`].map(e=>({id:e,name:D(`flow.tab.${e}`),to:_(e)}))}),t===`executions`&&(0,M.jsx)(k,{flow:e}),t===`definition`&&(0,M.jsx)(z,{name:e,mode:g.mode,definition:g.definition??``},g.modifiedAt),t===`versions`&&(0,M.jsx)(V,{name:e}),f&&(0,M.jsx)(B,{name:e,onClose:()=>h(!1)}),(0,M.jsx)(m,{title:D(`flow.delete`),text:D(`flow.delete.text`,{name:e}),verb:D(`delete`),bad:!0,open:s,onClose:()=>u(!1),act:async()=>{await n(`deleteFlow`,{path:{flow:e}}),S.removeQueries({queryKey:[`getFlow`]}),await C(`listFlows`),a({to:`/flows`})}})]})}function z({name:e,mode:r,definition:i}){let[a,o]=(0,A.useState)(i),[s,c]=(0,A.useState)(),[l,u]=(0,A.useState)(!1),f=async()=>{u(!0),c(void 0);try{await n(`updateFlow`,{path:{flow:e},body:{definition:a}}),await C(`getFlow`,`listFlows`),v(D(`saved`))}catch(e){c(e)}finally{u(!1)}};return(0,M.jsxs)(M.Fragment,{children:[(0,M.jsxs)(`div`,{className:`mb-3 flex justify-end gap-2`,children:[a!==i&&(0,M.jsx)(d,{onClick:()=>o(i),children:D(`discard`)}),(0,M.jsx)(d,{kind:`main`,need:`updateFlow`,busy:l,disabled:a===i,onClick:()=>void f(),children:D(`save`)})]}),(0,M.jsx)(p,{error:s,className:`mb-3`}),(0,M.jsx)(I,{text:a,setText:t(`updateFlow`)?o:void 0,mode:r})]})}function B({name:e,onClose:t}){let r=x(),[o,s]=(0,A.useState)(`{}`),[c,l]=(0,A.useState)(``),[u,f]=(0,A.useState)(),[m,h]=(0,A.useState)(!1),g=async()=>{h(!0),f(void 0);try{let t=JSON.parse(o||`{}`),i=await n(`startExecution`,{path:{flow:e},body:{input:t,...c.trim()?{name:c.trim()}:{}}});r({to:`/flows/${encodeURIComponent(e)}/executions/${encodeURIComponent(i.name)}`})}catch(e){f(e),h(!1)}};return(0,M.jsx)(i,{title:D(`flow.start`),open:!0,onClose:t,wide:640,foot:(0,M.jsxs)(M.Fragment,{children:[(0,M.jsx)(d,{onClick:t,children:D(`cancel`)}),(0,M.jsx)(d,{kind:`main`,icon:`play`,busy:m,onClick:()=>void g(),children:D(`flow.start`)})]}),children:(0,M.jsxs)(`div`,{className:`grid gap-3 pt-2`,children:[(0,M.jsx)(a,{label:D(`execution.name`),hint:D(`execution.name.hint`),children:e=>(0,M.jsx)(`input`,{id:e,className:`field mono`,value:c,onChange:e=>l(e.target.value)})}),(0,M.jsx)(O,{value:o,onChange:s,mode:`json`,label:D(`input`),className:`h-48`}),(0,M.jsx)(p,{error:u})]})})}function V({name:e}){let t=y(`listFlowVersions`,{path:{flow:e}}),r=y(`listFlowAliases`,{path:{flow:e}}),[i,o]=(0,A.useState)(!1),[s,c]=(0,A.useState)(``);return(0,M.jsxs)(`div`,{className:`grid items-start gap-4 lg:grid-cols-2`,children:[(0,M.jsx)(u,{title:D(`fn.versions`),actions:(0,M.jsx)(d,{icon:`plus`,need:`publishFlow`,onClick:()=>o(!0),children:D(`publish`)}),children:(0,M.jsx)(_,{query:t,children:e=>e.items.length===0?(0,M.jsx)(f,{children:D(`versions.none`)}):(0,M.jsx)(h,{of:e.items.map(e=>[e.version,(0,M.jsxs)(`span`,{className:`flex justify-between gap-3`,children:[(0,M.jsx)(`span`,{children:e.description||`–`}),(0,M.jsx)(g,{at:e.createdAt})]},`v`)])})})}),(0,M.jsx)(u,{title:D(`aliases`),children:(0,M.jsx)(_,{query:r,children:e=>e.items.length===0?(0,M.jsx)(f,{children:D(`aliases.none`)}):(0,M.jsx)(h,{of:e.items.map(e=>[e.name,e.routes.map(e=>`${D(`version.n`,{n:e.version})} · ${e.weight} %`).join(`  `)])})})}),(0,M.jsx)(m,{title:D(`publish`),verb:D(`publish`),open:i,onClose:()=>o(!1),text:(0,M.jsx)(a,{label:D(`description`),children:e=>(0,M.jsx)(`input`,{id:e,className:`field`,value:s,onChange:e=>c(e.target.value)})}),act:async()=>{await n(`publishFlow`,{path:{flow:e},body:{description:s}}),await C(`listFlowVersions`)}})]})}export{L as FlowNew,R as FlowPage};