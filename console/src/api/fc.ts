// What the console uses of Function Compute's types; /v1 has the rest.

export interface FcFunction {
  functionName: string;
  functionArn: string;
  description?: string;
  runtime: string;
  handler: string;
  cpu: number;
  memorySize: number;
  diskSize: number;
  timeout: number;
  instanceConcurrency: number;
  environmentVariables?: Record<string, string>;
  internetAccess?: boolean;
  idleTimeout?: number;
  codeSize: number;
  codeChecksum: string;
  createdTime: string;
  lastModifiedTime: string;
  state: string;
  stateReason?: string;
  customContainerConfig?: { image?: string } | null;
  customRuntimeConfig?: { command?: string[]; args?: string[]; port?: number } | null;
}

export interface FcVersion {
  versionId: string;
  description: string;
  createdTime: string;
  lastModifiedTime: string;
}

export interface FcAlias {
  aliasName: string;
  versionId: string;
  description: string;
  additionalVersionWeight?: Record<string, number>;
  lastModifiedTime: string;
}

export interface FcAsyncConfig {
  asyncTask: boolean;
  maxAsyncRetryAttempts: number;
  maxAsyncEventAgeInSeconds: number;
  destinationConfig?: { onSuccess?: { destination: string }; onFailure?: { destination: string } };
}

export interface FcScaling {
  minInstances?: number;
  currentInstances?: number;
  targetInstances?: number;
  currentError?: string;
  enableOnDemandScaling?: boolean;
}
